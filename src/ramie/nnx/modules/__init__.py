"""Modules, their containers, and what comes from inside of their calls."""
