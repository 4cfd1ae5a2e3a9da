"""State and transformations: what layers of either style are built on."""
