"""Where a run executes: in a process of its own, or on a node of a Ray cluster."""
