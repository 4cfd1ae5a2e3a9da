"""Branches and loops, and what lets a branch or a body that was traced be used again."""
