import re

import jax
import jax.numpy as jnp
import numpy as np

from da_bench.losses.spectrum import singular_values


def test_runs_side_by_side_decompose_one_matrix_after_another(rng):
    """A batch of them waits for a thread that waits itself: on two cores such runs hang."""
    matrices = jnp.asarray(rng.normal(size=(5, 4, 3)), jnp.float32)
    both = jax.vmap(jax.value_and_grad(lambda x: singular_values(x).sum()))
    shapes = re.findall(r"(f32\[[\d,]+\]) \S*f32\[[\d,]+\] \S*f32\[[\d,]+\] = svd", str(jax.make_jaxpr(both)(matrices)))
    assert shapes
    assert {shape.count(",") for shape in shapes} == {0}
    expected = [np.linalg.svd(one, compute_uv=False).sum() for one in matrices]
    np.testing.assert_allclose(both(matrices)[0], expected, rtol=1e-5)
