"""Molecules as graphs: a message passing network that tells at which temperature they boil."""
