"""Wording as data: templates, and the contract that ships with the weights."""
