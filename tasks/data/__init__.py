"""What the pipeline is fed: sources, records, expectations, splits and leaks."""
