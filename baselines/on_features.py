"""All that is known to da_bench, on the stored features of one pretrained network."""

from da_bench.baselines.fine_tuning import feature_extraction
from da_bench.baselines.target_only import held_out_target_only, target_only

import da_bench as da
from da_bench.methods import METHODS, ClassicalMethod, Method, load_plugins
from da_bench.methods.source_only import SourceOnly


def deep_methods() -> list[Method]:
    """Every deep method at its defaults but those that adapt batch statistics, which a head on features has none of."""
    load_plugins()
    return [cls() for cls in METHODS.values() if issubclass(cls, Method) and not cls.metadata.needs_batch_norm]


def every_method(task: str, weights: str, training: "da.Training", seeds: int) -> list["da.Experiment"]:
    """Every method and reference on one pair, with seeds 0 .. `seeds` - 1.

    The `deep_methods`, all with the same head, `training` and seeds; a linear head and both upper bounds; and every
    classical method once, as nothing in them is random. weights: the name of imported ones. All hyper-parameters are
    those of the methods' papers.
    """

    def run(method: Method | ClassicalMethod, **settings: "da.Training") -> da.Experiment:
        return da.Experiment(task=task, method=method, features=weights, **settings)

    runs = [run(method, training=training) for method in deep_methods()]
    source_only = run(SourceOnly(), training=training)
    references = [feature_extraction(task, weights, training=training), target_only(source_only)]
    once = [run(cls()) for cls in METHODS.values() if issubclass(cls, ClassicalMethod)]
    return [
        *da.over_seeds([*runs, *references], seeds),
        *once,
        *da.over_seeds([held_out_target_only(source_only)], seeds),
    ]
