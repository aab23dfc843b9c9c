"""The upper bound: training on the target's own labels."""

import dataclasses

import da_bench as da


def target_only(experiment: "da.Experiment") -> "da.Experiment":
    """The same run without adaptation, trained on the target's labelled training split instead of the source's.

    Its network, training and seed are those of `experiment`. It uses target labels, so it is a bound and not a method:
    tables mark it, and let it compete with nothing.
    """
    return dataclasses.replace(experiment, method=da.methods.SourceOnly(), labels_from="target")


def held_out_target_only(experiment: "da.Experiment") -> "da.Experiment":
    """`target_only` on the pair's inductive task, whatever the protocol of the experiment's own.

    A transductive task scores the rows that its bound was trained on, so that of a network which fits them is 100 % and
    says nothing. Here the target's labelled training split trains and its test split is scored; the tables of the
    transductive task show it beside their own bound and measure the closed gap by it.
    """
    inductive = experiment.task.partition("@")[0]
    return dataclasses.replace(target_only(experiment), task=inductive)
