"""Sets of methods that experiments compare."""

from typing import Any

from da_bench.baselines.fine_tuning import feature_extraction
from da_bench.baselines.target_only import held_out_target_only, target_only

import da_bench as da
from da_bench.methods import METHODS, ClassicalMethod, Method, load_plugins
from da_bench.methods.source_only import SourceOnly

CLASSIC_METHODS = ("coral", "mmd", "jan", "cdan", "mcd", "wdgrl", "adda")


def classic_methods() -> list[Method]:
    """CORAL, DAN, JAN, CDAN, MCD, WDGRL, ADDA and CDAN+E with the defaults of their papers.

    Tables print CDAN+E under a name of its own, "cdan+e".
    """
    methods: list[Any] = [METHODS[name]() for name in CLASSIC_METHODS]
    cdan_e: Any = METHODS["cdan"]
    return [*methods, cdan_e(entropy_conditioning="plain")]


def deep_methods() -> list[Method]:
    """Every deep method with its defaults, except those that adapt batch statistics: a head on features has none."""
    load_plugins()
    return [cls() for cls in METHODS.values() if issubclass(cls, Method) and not cls.metadata.needs_batch_norm]


def all_methods_on_features(task: str, weights: str, training: "da.Training", seeds: int) -> list["da.Experiment"]:
    """Every method and reference on one task, on the stored features of a pretrained network.

    All `deep_methods` use the same head, training and seeds. The references are a linear head on the features (feature
    extraction), target only, and target only on held-out rows. Classical methods run once, because they are
    deterministic. All hyper-parameters are those of the methods' papers.

    Args:
        task: name of the task, as in "office31/amazon-to-webcam@transductive".
        weights: name of imported weights.
        training: training settings of all deep methods.
        seeds: number of seeds, 0 to `seeds` - 1.

    Returns:
        The experiments.
    """

    def experiment(method: Method | ClassicalMethod, **settings: "da.Training") -> da.Experiment:
        return da.Experiment(task=task, method=method, features=weights, **settings)

    deep = [experiment(method, training=training) for method in deep_methods()]
    source_only = experiment(SourceOnly(), training=training)
    references = [feature_extraction(task, weights, training=training), target_only(source_only)]
    classical = [experiment(cls()) for cls in METHODS.values() if issubclass(cls, ClassicalMethod)]
    return [
        *da.over_seeds([*deep, *references], seeds),
        *classical,
        *da.over_seeds([held_out_target_only(source_only)], seeds),
    ]
