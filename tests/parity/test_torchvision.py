"""Our networks with arrays of torchvision's and timm's: the same logits and the same step of training."""

import sys
import types

import jax
import numpy as np
import pytest

from da_bench.models import MODELS, mobilenet_v2
from tests.helpers.reference import LABELS, compare, gradients, logits, ours, random_images, relative

torch = pytest.importorskip("torch", reason="compares with PyTorch: `make parity` installs it")
# a torchvision whose operators were built for another torch cannot be imported with them; none is used here
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))
torchvision = pytest.importorskip("torchvision", reason="compares with torchvision: `make parity` installs it")

THEIRS = {
    **{name: name for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")},
    **{f"vgg{depth}{norm}": f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")},
    "squeezenet": "squeezenet1_1",
    "mobilenet_v2": "mobilenet_v2",
}
TRAINED = ("resnet18", "resnet50", "vgg11", "vgg11_bn", "squeezenet", "mobilenet_v2")


def network(name):
    exact = {"pooled": False} if name == "squeezenet" else {}
    without = {} if name.startswith("resnet") else {"dropout": 0.0}
    return MODELS[name](bottleneck=None, **exact, **without).clone(classes=LABELS)


def settled(theirs):
    """Nothing at its starting value, and running averages of a batch of images, so that maps keep their scale."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
        for layer in theirs.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 1.0
        theirs.train()(tensor(random_images(np.random.default_rng(1), 4, 64)))
        for layer in theirs.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = 0.1
    return theirs.eval()


def tensor(inputs):
    return torch.from_numpy(np.ascontiguousarray(inputs.transpose(0, 3, 1, 2)))


def arrays(theirs):
    return {name: one.numpy() for name, one in theirs.state_dict().items() if not name.endswith("num_batches_tracked")}


def torchvision_network(name):
    return settled(getattr(torchvision.models, THEIRS[name])(num_classes=LABELS))


@pytest.mark.parametrize("name", THEIRS)
def test_logits_of_224_pixels_are_torchvisions(name, rng):
    theirs, model, inputs = torchvision_network(name), network(name), random_images(rng, 2, 224)
    with torch.inference_mode():
        expected = theirs(tensor(inputs)).numpy()
    assert relative(expected[0], expected[1]) > 0.01  # the images matter
    found = logits(model, *ours(model, arrays(theirs), "torchvision"), inputs)
    assert relative(found, expected) < 1e-4


@pytest.mark.parametrize("name", TRAINED)
def test_a_step_of_training_is_torchvisions(name, rng, x64):
    theirs, model = torchvision_network(name).double(), network(name)
    inputs, labels = random_images(rng, 6, 64).astype(np.float64), rng.integers(LABELS, size=6)
    start = ours(model, {k: v.copy() for k, v in arrays(theirs).items()}, "torchvision")
    value, slopes, stats = gradients(model, *start, inputs, labels)

    loss = torch.nn.functional.cross_entropy(theirs.train()(tensor(inputs)), torch.from_numpy(labels))
    loss.backward()
    after = arrays(theirs)
    of_theirs = {name: one.grad.numpy() for name, one in theirs.named_parameters()}
    expected, _ = ours(model, {**after, **of_theirs}, "torchvision")
    _, expected_stats = ours(model, after, "torchvision")
    assert abs(value - loss.item()) < 1e-9
    compare(slopes, expected, 1e-6)
    compare(stats, expected_stats, 1e-9)  # none in VGG and SqueezeNet


def test_a_wrong_padding_is_seen(rng, monkeypatch):
    theirs, model, inputs = torchvision_network("mobilenet_v2"), network("mobilenet_v2"), random_images(rng, 2, 224)
    with torch.inference_mode():
        expected = theirs(tensor(inputs)).numpy()
    shifted = mobilenet_v2.LIBRARIES["torchvision"]._replace(around=(0, 1))
    monkeypatch.setitem(mobilenet_v2.LIBRARIES, "torchvision", shifted)
    jax.clear_caches()
    assert relative(logits(model, *ours(model, arrays(theirs), "torchvision"), inputs), expected) > 0.01


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_logits_are_timms(name, rng):
    timm = pytest.importorskip("timm", reason="compares with timm: `make parity` installs it")
    theirs = settled(timm.create_model(name, pretrained=False, num_classes=LABELS))
    model, inputs = network(name), random_images(rng, 2, 224)
    with torch.inference_mode():
        expected = theirs(tensor(inputs)).numpy()
    assert relative(logits(model, *ours(model, arrays(theirs), "timm"), inputs), expected) < 1e-4
