"""Losses and distances that several methods share: functions of arrays, one family a file.

Shapes are written in brackets: n source rows, m target rows, d feature dimensions, c classes. "Logits" are always the
values before the softmax (or before the sigmoid for domain classifiers).
"""
