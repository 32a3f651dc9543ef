"""Great Expectations as the judge of the records, and what it is handed: lengths, languages, drift."""
