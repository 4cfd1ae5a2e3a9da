"""Calls outside of a trace as one compiled program, where that keeps every bit."""
