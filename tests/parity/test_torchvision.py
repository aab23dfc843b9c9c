"""Networks with the arrays of torchvision's and timm's give the same logits and the same training step."""

import sys
import types

import jax
import numpy as np
import pytest

from da_bench.models import MODELS, mobilenet_v2
from tests.helpers.reference import (
    CLASSES,
    assert_trees_close,
    logits,
    loss_and_gradients,
    random_images,
    relative_error,
    variables_from,
)

torch = pytest.importorskip("torch", reason="compares with PyTorch: `make parity` installs it")
# torchvision's compiled operators may be built for another torch, and then fail to import; they are not used here
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))
torchvision = pytest.importorskip("torchvision", reason="compares with torchvision: `make parity` installs it")

TORCHVISION_NAMES = {
    **{name: name for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")},
    **{f"vgg{depth}{norm}": f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")},
    "squeezenet": "squeezenet1_1",
    "mobilenet_v2": "mobilenet_v2",
}
TRAINED = ("resnet18", "resnet50", "vgg11", "vgg11_bn", "squeezenet", "mobilenet_v2")


def network(name):
    published = {"pooled": False} if name == "squeezenet" else {}
    no_dropout = {} if name.startswith("resnet") else {"dropout": 0.0}
    return MODELS[name](bottleneck=None, **published, **no_dropout).clone(classes=CLASSES)


def randomise(reference):
    """Move parameters from their initial values and set running averages, so that maps keep their scale."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in reference.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
        for layer in reference.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 1.0
        reference.train()(tensor(random_images(np.random.default_rng(1), 4, 64)))
        for layer in reference.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 0.1
    return reference.eval()


def tensor(inputs):
    return torch.from_numpy(np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)))


def arrays(reference):
    return {
        name: array.numpy()
        for name, array in reference.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def torchvision_network(name):
    return randomise(getattr(torchvision.models, TORCHVISION_NAMES[name])(num_classes=CLASSES))


@pytest.mark.parametrize("name", TORCHVISION_NAMES)
def test_logits_equal_torchvision(name, rng):
    reference, model, inputs = torchvision_network(name), network(name), random_images(rng, 2, 224)
    with torch.inference_mode():
        expected = reference(tensor(inputs)).numpy()
    assert relative_error(expected[0], expected[1]) > 0.01  # the images matter
    actual = logits(model, *variables_from(model, arrays(reference), "torchvision"), inputs)
    assert relative_error(actual, expected) < 1e-4


@pytest.mark.parametrize("name", TRAINED)
def test_a_training_step_equals_torchvision(name, rng, x64):
    reference, model = torchvision_network(name).double(), network(name)
    inputs, labels = random_images(rng, 6, 64).astype(np.float64), rng.integers(CLASSES, size=6)
    start = variables_from(model, {k: v.copy() for k, v in arrays(reference).items()}, "torchvision")
    value, gradients, stats = loss_and_gradients(model, *start, inputs, labels)

    loss = torch.nn.functional.cross_entropy(reference.train()(tensor(inputs)), torch.from_numpy(labels))
    loss.backward()
    after = arrays(reference)
    reference_gradients = {name: parameter.grad.numpy() for name, parameter in reference.named_parameters()}
    expected, _ = variables_from(model, {**after, **reference_gradients}, "torchvision")
    _, expected_stats = variables_from(model, after, "torchvision")
    assert abs(value - loss.item()) < 1e-9
    assert_trees_close(gradients, expected, 1e-6)
    assert_trees_close(stats, expected_stats, 1e-9)  # none in VGG and SqueezeNet


def test_a_wrong_padding_is_detected(rng, monkeypatch):
    reference, model, inputs = torchvision_network("mobilenet_v2"), network("mobilenet_v2"), random_images(rng, 2, 224)
    with torch.inference_mode():
        expected = reference(tensor(inputs)).numpy()
    shifted = mobilenet_v2.LIBRARIES["torchvision"]._replace(padding=(0, 1))
    monkeypatch.setitem(mobilenet_v2.LIBRARIES, "torchvision", shifted)
    jax.clear_caches()
    actual = logits(model, *variables_from(model, arrays(reference), "torchvision"), inputs)
    assert relative_error(actual, expected) > 0.01


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_logits_equal_timm(name, rng):
    timm = pytest.importorskip("timm", reason="compares with timm: `make parity` installs it")
    reference = randomise(timm.create_model(name, pretrained=False, num_classes=CLASSES))
    model, inputs = network(name), random_images(rng, 2, 224)
    with torch.inference_mode():
        expected = reference(tensor(inputs)).numpy()
    assert relative_error(logits(model, *variables_from(model, arrays(reference), "timm"), inputs), expected) < 1e-4
