"""Jobs: a stage of a run that a machine elsewhere does, followed from here as if it were done here."""
