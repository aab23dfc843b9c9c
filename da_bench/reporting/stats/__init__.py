"""Benchmark statistics: intervals, paired tests, comparisons over many pairs of domains."""
