"""What of one split, or of a benchmark, stands in another split."""
