"""Numbers over predictions: overlap, choices, and the statistics that compare them."""
