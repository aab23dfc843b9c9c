"""Training of networks: settings, one step, the loop, batches in memory or streamed, checkpoints."""
