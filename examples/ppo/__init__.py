"""Reinforcement learning: proximal policy optimisation in environments of gymnasium."""
