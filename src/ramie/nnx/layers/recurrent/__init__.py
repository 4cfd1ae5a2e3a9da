"""Recurrent cells, and layers that run them over sequences."""
