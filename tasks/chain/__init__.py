"""The chain that a model version stands on: its links, the code that made them, and whether they still hold."""
