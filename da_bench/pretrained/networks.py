"""Networks that start from imported weights: their variables, their view, and whether the weights fit."""

from typing import Any

from da_bench.core.config import UserError, as_dict
from da_bench.core.trees import flatten, unflatten
from da_bench.core.types import Tree
from da_bench.data.transforms import View
from da_bench.models import Network
from da_bench.models.backbone import Backbone
from da_bench.pretrained.convert import backbone_class, is_head, variable_shapes
from da_bench.pretrained.store import WeightsInfo, info, load


def weights_name(model: Network) -> str:
    """Name of the imported weights that a network starts from, "" if it starts at random."""
    return model.weights if isinstance(model, Backbone) else ""


def backbone(name: str) -> Backbone:
    """The published network up to its own features, starting from imported weights.

    Raises:
        UserError: as `store.info`.
    """
    facts = info(name)
    cls: Any = backbone_class(facts.arch)
    return cls(classes=1, bottleneck=None, weights=name, **facts.fields)


def view(name: str, **changes: Any) -> View:
    """How images are prepared for imported weights.

    Args:
        name: of the weights.
        changes: fields of `View` to replace, such as `augment="none"`.

    Raises:
        UserError: as `store.info`; or the weights are not for images.
    """
    facts = info(name)
    if facts.view is None:
        raise UserError(f"the weights '{name}' are not for images and have no view")
    return View(**{**as_dict(facts.view), **changes})


def initial_variables(model: Network) -> Tree:
    """Variables that a network takes from imported weights: those of its trunk. Bottleneck and head start at random.

    Returns:
        {"params": {"trunk": ...}, "batch_stats": {"trunk": ...}}, or {} for a network without weights.

    Raises:
        UserError: as `store.load`.
    """
    if not (name := weights_name(model)):
        return {}
    return unflatten({path: array for path, array in load(name)[1].items() if not is_head(path)})


def check_network(model: Network, view: View | None) -> None:
    """Refuse a network that its weights do not fit, or images that are prepared otherwise than for the weights.

    Args:
        model: a network, with or without weights.
        view: how the task's images are prepared; None if its inputs are not images on disk.

    Raises:
        UserError: as `store.info`; or the weights are for another network or another view.
    """
    if not (name := weights_name(model)):
        return
    facts = info(name)
    _check_architecture(name, facts, model)
    if (facts.view is None) != (view is None):
        inputs = "not for images" if facts.view is None else "for images on disk"
        raise UserError(f"the weights '{name}' are {inputs}, unlike the inputs of the task; leave the weights out")
    if facts.view is None or view is None:
        return
    for field in ("channels", "mean", "std"):
        value, trained_with = getattr(view, field), getattr(facts.view, field)
        if value != trained_with:
            raise UserError(
                f"View.{field} = {value}, but the weights '{name}' were trained with {trained_with}; leave the view "
                "out, or start from da.pretrained.view(NAME)"
            )


def _check_architecture(name: str, facts: WeightsInfo, model: Network) -> None:
    if not isinstance(model, backbone_class(facts.arch)):
        raise UserError(f"the weights '{name}' are for '{facts.arch}', not for {type(model).__name__}")
    for field, value in facts.fields.items():
        if getattr(model, field) != value:
            raise UserError(f"the weights '{name}' need {field} = {value!r}, not {getattr(model, field)!r}")
    wanted = {path: leaf.shape for path, leaf in flatten(variable_shapes(model)).items() if path[1] == "trunk"}
    available = {path: array.shape for path, array in load(name)[1].items() if not is_head(path)}
    if wanted != available:
        odd = "/".join(min(path for path, _ in wanted.items() ^ available.items()))
        raise UserError(f"the weights '{name}' do not fit the network: '{odd}' has another shape or exists only in one")
