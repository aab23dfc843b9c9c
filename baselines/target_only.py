"""The upper bound: training on the target's own labels."""

import dataclasses

import da_bench as da


def target_only(experiment: "da.Experiment") -> "da.Experiment":
    """The same run without adaptation, trained on the target's labelled training split instead of the source's.

    Its network, training and seed are those of `experiment`. It uses target labels, so it is a bound and not a method:
    tables mark it, and let it compete with nothing.
    """
    return dataclasses.replace(experiment, method=da.methods.SourceOnly(), labels_from="target")
