"""Data sets, one family a file; `tasks` names the source -> target pairs."""
