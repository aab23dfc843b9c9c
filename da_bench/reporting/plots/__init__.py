"""Figures of records. `write.write_plots` draws all that the records suffice for; each kind has a module of its own."""
