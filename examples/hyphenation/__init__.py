"""Hyphenation: a transformer that reads a word both ways, and tells where it may be broken."""
