"""Topologies by name, and the devices that they stand for."""

__all__ = ["topologies"]


def topologies() -> tuple[str, ...]:
    """Return the names of the topologies that the compiler knows, small ones first."""
    raise NotImplementedError
