"""From records to tables, plots, statistics and reproduction cards."""
