"""Target only: the upper bound of training on the target's own labels."""

import dataclasses

import da_bench as da


def target_only(experiment: "da.Experiment") -> "da.Experiment":
    """The same experiment without adaptation, trained on the target's labelled training split.

    Because it uses target labels, it is an upper bound and not a method: tables mark it and do not rank it.

    Args:
        experiment: experiment whose task, model, training and seed are used.

    Returns:
        The experiment of the upper bound.
    """
    return dataclasses.replace(experiment, method=da.methods.SourceOnly(), labels_from="target")


def held_out_target_only(experiment: "da.Experiment") -> "da.Experiment":
    """`target_only` on the inductive task of the same domain pair, so that it is scored on held-out rows.

    A transductive task scores the rows that its upper bound was trained on, so that a network which fits them reaches
    100 %. Here the target's labelled training split is trained on and its test split is scored. Tables of a
    transductive task show both bounds, and measure the closed gap by this one.

    Args:
        experiment: experiment whose task, model, training and seed are used.

    Returns:
        The experiment of the upper bound.
    """
    inductive_task = experiment.task.partition("@")[0]
    return dataclasses.replace(target_only(experiment), task=inductive_task)
