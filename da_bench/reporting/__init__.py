"""Reports made from records: tables, plots, statistics, reproduction cards and the ranking of backbones."""
