"""Where the runs of a study execute: in this process, in one process a run, or on the nodes of a Ray cluster."""
