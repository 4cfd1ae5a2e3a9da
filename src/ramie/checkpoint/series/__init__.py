"""The checkpoints of one run: their names and order, and which have had their time."""
