"""Saving: to one file or directory, in the background; and removing what is old."""
