"""Who is in the data, and how differently they are written of: measured before training."""
