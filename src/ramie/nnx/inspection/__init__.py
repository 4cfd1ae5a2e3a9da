"""Looking at models: tables of layers, and what they cost."""
