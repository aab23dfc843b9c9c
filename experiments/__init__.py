"""Experiments: each file asks one question and exports EXPERIMENTS, a list of `da.Experiment`.

A docstring states the question (first line), the command, the protocol, the cost and the expected result.
"""
