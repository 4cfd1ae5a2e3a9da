"""What JAX knows while it traces: its present trace, and programs that are only described."""
