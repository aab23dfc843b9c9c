"""Studies: experiments, the runs that are missing, their records, searches, and where runs execute."""
