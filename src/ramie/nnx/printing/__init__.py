"""How objects are shown: as text, and in notebooks."""
