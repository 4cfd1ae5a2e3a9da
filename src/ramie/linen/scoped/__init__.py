"""Layers as functions of a scope, for code that uses `ramie.core` without modules.

Reached as ``ramie.core.nn``: layers need `ops` as well as `core`, which does not import it.
"""
