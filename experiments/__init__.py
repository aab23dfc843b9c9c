"""One question a file; each exports EXPERIMENTS, a list of `da.Experiment`."""
