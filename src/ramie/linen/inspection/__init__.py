"""Looking at modules: tables of layers, and what they cost."""
