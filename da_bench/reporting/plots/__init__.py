"""Figures from records. `write.write_plots` draws every figure that the records allow, each from its own module."""
