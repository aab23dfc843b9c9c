"""Import files that PyTorch writes: the recorded outputs are those that PyTorch computes."""

import sys
import types

import numpy as np
import pytest

from da_bench import pretrained
from da_bench.core.config import UserError
from da_bench.pretrained import torch_file
from da_bench.pretrained.convert import published_network

torch = pytest.importorskip("torch", reason="compares with PyTorch: `make parity` installs it")
# torchvision's compiled operators may be built for another torch, and then fail to import; they are not used here
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))
torchvision = pytest.importorskip("torchvision", reason="compares with torchvision: `make parity` installs it")


@pytest.fixture
def torch_network(monkeypatch, tmp_path):
    """MobileNetV2 of torchvision with random weights and statistics."""
    monkeypatch.setenv("DA_BENCH_WEIGHTS", str(tmp_path / "imported"))
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v2().eval()
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean, 0, 0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
    return model


@pytest.mark.parametrize("zipped", [True, False])
def test_both_file_formats_give_the_logits_of_torch(zipped, torch_network, tmp_path):
    torch.save(torch_network.state_dict(), tmp_path / "some.pth", _use_new_zipfile_serialization=zipped)
    name = pretrained.import_file(tmp_path / "some.pth", pretrained.ImportRequest("mobilenet_v2"))
    images = published_network("mobilenet_v2", "torchvision", 1000).probe_input().transpose(0, 3, 1, 2)
    with torch.no_grad():
        logits = torch_network(torch.from_numpy(np.ascontiguousarray(images)))[0, :8].numpy()
    np.testing.assert_allclose(pretrained.info(name).parity["logits"], logits, atol=1e-4 * np.abs(logits).max())


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_of_every_type_and_layout_are_read(zipped, tmp_path):
    matrix = torch.arange(6.0).reshape(2, 3)
    tensors = {
        "transposed": matrix.t(),
        "part": matrix[1, 1:],
        "expanded": torch.ones(1).expand(1),
        "number": torch.tensor(3.0),
        "half": matrix.half(),
        "bfloat16": matrix.bfloat16(),
        "counts": torch.arange(3),
        "parameter": torch.nn.Parameter(matrix),
        "flags": torch.tensor([True, False]),
    }
    torch.save(tensors, tmp_path / "some.pth", _use_new_zipfile_serialization=zipped)
    arrays = torch_file.read(tmp_path / "some.pth")
    assert arrays.keys() == tensors.keys()
    for key, tensor in tensors.items():
        np.testing.assert_array_equal(arrays[key].astype(np.float32), tensor.detach().float().numpy())


def test_a_pickled_model_is_refused(torch_network, tmp_path):
    torch.save(torch_network, tmp_path / "some.pth")
    with pytest.raises(UserError, match=r"asks for 'torchvision\.models\.mobilenetv2\.MobileNetV2'.*nothing was run"):
        torch_file.read(tmp_path / "some.pth")
