"""Folders of checkpoints: names of steps, folders that appear in one step, several processes."""
