"""What the names of axes mean on a mesh: one table for every way to divide a model.

A mesh is written as ``data=2,fsdp=2,model=2``; axes that are left out have one device.

- `data`: devices hold the same parameters and see different sequences.
- `fsdp`: devices see different sequences, and each holds its part of every parameter.
- `model`: devices share the heads and the hidden features of each layer.
"""

import jax
from examples.llm.settings import VOCABULARY, Settings, UsageError
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXES = ("data", "fsdp", "model")
RULES = (
    ("batch", ("data", "fsdp")),
    ("embed", "fsdp"),
    ("heads", "model"),
    ("hidden", "model"),
    ("vocabulary", "model"),
    ("layers", None),
)


def sizes(text: str, devices: int) -> dict[str, int]:
    """Read a mesh; without one, all devices see different sequences.

    Args:
      text: such as ``data=2,model=2``; may be empty.
      devices: how many there are.

    Returns:
      The number of devices along each axis.

    Raises:
      UsageError: a name or number that is none, or a product that is not `devices`.
    """
    found = dict.fromkeys(AXES, 1)
    if not text:
        found["data"] = devices
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        if name not in AXES or not number.isdecimal() or int(number) < 1:
            raise UsageError(
                f"--mesh {text!r}: {part!r} is none of data=N, fsdp=N and model=N, N from 1 on."
            )
        found[name] = int(number)
    product = found["data"] * found["fsdp"] * found["model"]
    if product != devices:
        raise UsageError(f"--mesh {text!r} has {product} devices, and there are {devices}.")
    return found


def check(settings: Settings, shape: dict[str, int], processes: int) -> None:
    """Refuse a mesh that does not divide the sizes, or that tears a batch apart among processes.

    Args:
      settings: the sizes.
      shape: the number of devices along each axis.
      processes: how many share the devices.

    Raises:
      UsageError: says which size and which axis.
    """
    inner = settings.groups * settings.width // settings.heads
    parts = {"data x fsdp": shape["data"] * shape["fsdp"], **shape}
    for axis, name, size in (
        ("data x fsdp", "batch", settings.batch),
        ("fsdp", "width", settings.width),
        ("model", "width", settings.width),
        ("model", "width of keys and values", inner),
        ("model", "hidden", settings.hidden),
        ("model", "number of bytes", VOCABULARY),
    ):
        if size % parts[axis]:
            raise UsageError(
                f"the {name}, {size}, does not divide into the {parts[axis]} parts of {axis}."
            )
    own = parts["data x fsdp"] * shape["model"] // processes
    if own % shape["model"] and shape["model"] % own:
        raise UsageError(
            f"each process has {own} devices, and model={shape['model']} is neither a multiple nor "
            "a divisor of that: two processes would share a part of the batch."
        )


def make(shape: dict[str, int]) -> Mesh:
    """Make the mesh of all devices.

    Args:
      shape: the number of devices along each axis.
    """
    types = (AxisType.Auto,) * len(AXES)
    return jax.make_mesh(tuple(shape[axis] for axis in AXES), AXES, axis_types=types)


def spec(*names: str | None) -> PartitionSpec:
    """Translate the names of an array's axes."""
    table = dict(RULES)
    return PartitionSpec(*(None if name is None else table[name] for name in names))


def constrained(x: jax.Array, *names: str | None) -> jax.Array:
    """Say how an array inside of the model lies on the mesh; nothing without a mesh."""
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, spec(*names))


def of_batches(mesh: Mesh) -> NamedSharding:
    """Return where the sequences of a batch lie."""
    return NamedSharding(mesh, spec("batch", None))
