"""Faults, delivered to real trainings of toy models: `make faults` prints the board.

`strike` delivers one fault at one named event of a training, `warm` starts a training without its 8 s of imports,
`project` is what is trained and what has to come out, `stock` the transformers Trainer on the same, as a negative
control. `kills`, `damage`, `machine` and `meaning` are the faults, `board` runs them all.
"""
