import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from da_bench.models.vit import Block, Embedding, bicubic, cubic, resize_positions
from da_bench.models.vit_weights import RECIPES, Recipe

PLAIN = Recipe(())


def test_the_cubic_kernel_is_one_at_zero_and_zero_at_other_integers():
    for a in (-0.5, -0.75):
        np.testing.assert_allclose(cubic(np.array([0.0, 1.0, -1.0, 2.0, 3.0]), a), [1, 0, 0, 0, 0], atol=1e-15)
        # Keys, Eq. 4, at 1/2 and 3/2: (a + 2) / 8 - (a + 3) / 4 + 1 and a (27 - 90 + 96 - 32) / 8
        np.testing.assert_allclose(cubic(np.array([0.5, -1.5]), a), [0.5 - a / 8, a / 8], atol=1e-15)


@pytest.mark.parametrize(("size", "wanted"), [(14, 10), (14, 23), (37, 16), (7, 7)])
@pytest.mark.parametrize("recipe", RECIPES)
def test_interpolation_keeps_constants(size, wanted, recipe):
    np.testing.assert_allclose(bicubic(size, wanted, RECIPES[recipe]).sum(axis=1), 1, atol=1e-12)


def test_interpolation_keeps_lines_away_from_the_ends():
    matrix = bicubic(20, 40, PLAIN)
    np.testing.assert_allclose((matrix @ np.arange(20.0))[6:-6], (np.arange(40)[6:-6] + 0.5) / 2 - 0.5, atol=1e-12)


@pytest.mark.parametrize("wanted", [(9, 6), (14, 14), (20, 31), (10, 20)])
def test_resized_positions_equal_pillows_images(wanted, rng):
    """Pillow's bicubic interpolation equals timm's with antialias; it works in float32 on images of one channel."""
    positions = rng.normal(size=(1 + 14 * 14, 3)).astype(np.float32)
    found = resize_positions(positions, wanted, PLAIN)
    square = positions[1:].reshape(14, 14, 3)
    for channel in range(3):
        image = Image.fromarray(np.ascontiguousarray(square[:, :, channel])).resize(
            wanted[::-1], Image.Resampling.BICUBIC
        )
        np.testing.assert_allclose(found[1:, channel].reshape(wanted), np.asarray(image), atol=2e-6)
    np.testing.assert_array_equal(found[0], positions[0])


def test_dinov2s_offset_changes_the_step():
    """From 4 to 2 values, the second lies at 1.5 x 4 / 2.1 - 1/2 = 2.357, not at 2.5, nearest to value 2."""
    row = bicubic(4, 2, RECIPES["dinov2"])[1]
    np.testing.assert_allclose(row, cubic(np.array([1, 2, 3, 4]) - (6 / 2.1 - 0.5), -0.75) @ LAST_REPEATED, atol=1e-12)


LAST_REPEATED = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1]])


@pytest.mark.parametrize("name", ["supervised", "dinov2_registers", "clip"])
def test_tokens_of_an_image(name, rng):
    recipe, images = RECIPES[name], jnp.asarray(rng.normal(size=(2, 8, 12, 3)), jnp.float32)
    module = Embedding(4, 2, 6, recipe)
    params = module.init(jax.random.key(0), images)["params"]
    tokens = module.apply({"params": params}, images)
    assert tokens.shape == (2, 1 + recipe.registers + 2 * 3, 6)
    if name == "supervised":  # the patch in the second row and third column by hand
        kernel, bias = params["patches"]["kernel"].reshape(48, 6), params["patches"]["bias"]
        patch = np.asarray(images)[1, 4:, 8:].reshape(48)
        place = resize_positions(params["positions"], (2, 3), recipe)[6]
        np.testing.assert_allclose(tokens[1, 6], patch @ kernel + bias + place, atol=1e-5)
        np.testing.assert_allclose(tokens[0, 0], params["token"] + params["positions"][0], atol=1e-6)


def test_a_block_with_zero_layer_scale_is_the_identity(rng):
    tokens = jnp.asarray(rng.normal(size=(2, 5, 8)), jnp.float32)
    module = Block(2, RECIPES["dinov2"])
    params = module.init(jax.random.key(0), tokens, False)["params"]
    still = {**params, "scale1": jnp.zeros(8), "scale2": jnp.zeros(8)}
    np.testing.assert_array_equal(module.apply({"params": still}, tokens, False), tokens)
    moved = module.apply({"params": params}, tokens, False) - tokens
    assert 0 < float(jnp.abs(moved).max()) < 1e-3  # layer scale starts at 1e-5


def test_a_block_ignores_the_order_of_patches(rng):
    """A block has no positions, and every token's gradient depends on every other token."""
    tokens, order = jnp.asarray(rng.normal(size=(1, 5, 8)), jnp.float32), np.array([3, 0, 4, 1, 2])
    module = Block(2, PLAIN)
    params = module.init(jax.random.key(0), tokens, False)
    np.testing.assert_allclose(
        module.apply(params, tokens[:, order], False), module.apply(params, tokens, False)[:, order], atol=1e-5
    )
    gradient = jax.grad(lambda x: module.apply(params, x, False)[0, 0].sum())(tokens)
    assert (jnp.abs(gradient[0]).max(axis=1) > 1e-6).all()


@pytest.mark.parametrize("shape", [(2, 8, 13, 3), (2, 48)])
def test_inputs_without_complete_patches_are_refused(shape):
    with pytest.raises(ValueError, match="multiples of 4 pixels"):
        Embedding(4, 2, 6, PLAIN).init(jax.random.key(0), jnp.zeros(shape))
