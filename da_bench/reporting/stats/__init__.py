"""Statistics of benchmark results: over seeds (intervals, paired tests) and over domain pairs (rank tests, means)."""
