"""BERT against Hugging Face's with the same weights."""

import numpy as np
import pytest

from da_bench.models import Bert
from tests.helpers import parity

pytestmark = pytest.mark.filterwarnings("default")  # warnings of other libraries
LABELS = np.array([1, 4, 7])


def reference(**sizes):
    """BERT of Hugging Face, ids and the mask of tokens."""
    torch = pytest.importorskip("torch")
    parity.import_torchvision()  # transformers imports it if it is installed
    transformers = pytest.importorskip("transformers")
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    encoder = parity.randomise(transformers.BertModel(transformers.BertConfig(**off, **sizes)))
    ids = np.random.default_rng(0).integers(1, 1000, size=(3, 20)).astype("int32")
    for row, length in enumerate((20, 13, 2)):
        ids[row, length:] = 0
    return encoder, ids, torch.from_numpy(ids > 0).long()


def state(encoder):
    return {f"bert.{name}": array for name, array in parity.state_arrays(encoder).items()}


@pytest.mark.parametrize("pooling", ["pooler", "class", "mean"])
def test_evaluation(pooling):
    torch = pytest.importorskip("torch")

    encoder, ids, mask = reference()
    output = encoder.eval()(input_ids=torch.from_numpy(ids).long(), attention_mask=mask)
    last, weights = output.last_hidden_state, mask[:, :, None]
    means = (last * weights).sum(1) / weights.sum(1)
    expected = {"pooler": output.pooler_output, "class": last[:, 0], "mean": means}[pooling].detach()
    model = Bert(classes=10, bottleneck=None, pooling=pooling)
    params, _ = parity.variables(model, "huggingface", state(encoder))
    params["head"] = {"kernel": np.zeros((768, 10), "float32"), "bias": np.zeros(10, "float32")}
    actual = parity.evaluate(model, params, {}, ids).features
    assert parity.relative_error(actual, expected) < 1e-4
    if pooling == "class":  # padding must be recognised: other ids in its place change the features
        short = parity.evaluate(model, params, {}, np.where(ids == 0, 5, ids)).features
        assert parity.relative_error(short, expected) > 1e-2


def test_a_training_step(x64):
    torch = pytest.importorskip("torch")

    sizes = {"num_hidden_layers": 3, "hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 192}
    encoder, ids, mask = reference(**sizes)
    head = torch.nn.Linear(48, 10)
    network = torch.nn.ModuleDict({"bert": encoder, "head": head}).double().train()
    model = Bert(classes=10, bottleneck=None, layers=3, width=48, heads=4, dropout=0.0)
    before = with_head(model, parity.state_arrays(network))
    loss, stepped, _ = parity.sgd_step(model, before, {}, ids, LABELS, 0.1)
    expected, state = parity.torch_sgd_step(
        network,
        torch.from_numpy(ids).long(),
        LABELS,
        0.1,
        logits=lambda ids: head(encoder(input_ids=ids, attention_mask=mask).pooler_output),
    )
    errors = parity.step_errors(stepped, with_head(model, state), before)
    assert parity.relative_error(loss, expected) < 1e-4
    # the key's bias has no gradient: adding the same vector to all keys does not change the softmax
    assert max(error for name, error in errors.items() if "['key']['bias']" not in name) < 1e-4


def with_head(model, arrays):
    head = {"kernel": arrays.pop("head.weight").T, "bias": arrays.pop("head.bias")}
    return {**parity.variables(model, "huggingface", arrays)[0], "head": head}
