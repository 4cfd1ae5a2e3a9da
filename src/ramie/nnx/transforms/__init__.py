"""Transformations of JAX for functions of modules and variables."""
