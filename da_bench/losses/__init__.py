"""Mathematics that several methods share: arrays in, scalar out; one family a file."""
