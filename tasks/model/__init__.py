"""The language model: load, encode, batch, fit, generate, choose."""
