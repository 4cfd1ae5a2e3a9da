"""Weights from other frameworks, and back: `interop.torch`."""
