"""Searching by meaning: sentences become vectors, by weights that others trained."""
