"""Work on several devices, and a few tools around JAX's own transformations."""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ramie.core.tracing.abstract import evaluate_known
from ramie.serialization.arrays import own

__all__ = [
    "pad_shard_unpad",
    "partial_eval_by_shape",
    "pmean",
    "prefetch_to_device",
    "replicate",
    "scan_in_dim",
    "unreplicate",
]

T = TypeVar("T")

# The name JAX itself gives to the axis of arrays made for pmap.
_AXIS = "_device_put_sharded"


# --- several devices ------------------------------------------------------------------------------


def _over_devices(devices: Sequence[jax.Device] | None, axis_name: str) -> NamedSharding:
    """The sharding that gives each device one slice of the first axis."""
    chosen = jax.local_devices() if devices is None else list(devices)
    if not chosen:
        raise ValueError(
            "The list of devices is empty; leave it out for all devices of this process."
        )
    return NamedSharding(Mesh(np.asarray(chosen), (axis_name,)), PartitionSpec(axis_name))


def replicate(
    tree: Any, devices: Sequence[jax.Device] | None = None, axis_name: str = _AXIS
) -> Any:
    """Copy arrays to several devices, as `jax.pmap` takes them.

    Shapes: each leaf ``[...]`` becomes ``[devices, ...]``, one slice on each device.

    Args:
        tree: A pytree of arrays and numbers.
        devices: Where the copies go; by default all devices of this process.
        axis_name: Name of the mesh axis in the sharding of the result.

    Returns:
        The tree with one copy per device in each leaf.

    Example:
        >>> replicate({"w": jnp.ones(3)}, jax.local_devices()[:1])["w"].shape
        (1, 3)
    """
    sharding = _over_devices(devices, axis_name)
    order = list(sharding.mesh.devices.flat)

    def spread(x: Any) -> jax.Array:
        slice_of_one = jnp.expand_dims(jnp.asarray(x), 0)
        copies = [jax.device_put(slice_of_one, device) for device in order]
        shape = (len(order), *slice_of_one.shape[1:])
        return jax.make_array_from_single_device_arrays(shape, sharding, copies)

    return jax.tree_util.tree_map(spread, tree)


def unreplicate(tree: Any) -> Any:
    """Return one of the copies that `replicate` made: the first slice of each leaf.

    Args:
        tree: A pytree of arrays whose first axis counts devices.

    Raises:
        ValueError: A leaf has no such axis.

    Example:
        >>> float(unreplicate(replicate(2.5)))
        2.5
    """
    return jax.tree_util.tree_map(_first_slice, tree)


def _first_slice(x: Any) -> Any:
    """Index with 0, without any communication where one device holds that slice already."""
    if not np.ndim(x):
        raise ValueError(
            f"unreplicate takes the first slice along the axis of devices, but a leaf is the "
            f"scalar {x!r}. Was the tree replicated?"
        )
    if isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer):
        for shard in x.addressable_shards:
            if not shard.index[0].start and shard.data.shape[1:] == x.shape[1:]:
                return shard.data[0]
    return x[0]


def pmean(xs: Any, axis_name: str) -> Any:
    """Average a pytree over the devices of a mapped axis; `jax.lax.pmean` under its older name.

    Args:
        xs: A pytree of arrays.
        axis_name: The axis given to `jax.pmap` or `jax.vmap`.
    """
    return lax.pmean(xs, axis_name)


def prefetch_to_device(
    iterator: Iterable[Any],
    size: int,
    devices: Sequence[jax.Device] | None = None,
    axis_name: str = _AXIS,
) -> Iterator[Any]:
    """Put batches on the devices ahead of their use.

    Transfers run while the program computes, so that the next batch is there when it is wanted.
    Arrays in host memory are copied first, those of JAX too, so the iterator may fill the same
    buffer again.

    Args:
        iterator: Yields pytrees of arrays; the first axis of each is split over the devices.
        size: How many batches to hold ready. Two is right nearly always: one in use, one on
            the way.
        devices: Where batches go; by default all devices of this process.
        axis_name: Name of the mesh axis in the sharding of the result.

    Returns:
        An iterator over the same batches as sharded arrays, in order.

    Raises:
        ValueError: ``size`` is less than one, or a first axis cannot be split evenly.
    """
    if size < 1:
        raise ValueError(f"prefetch_to_device needs a buffer of at least 1 batch, not of {size}.")
    sharding = _over_devices(devices, axis_name)
    count = sharding.mesh.size

    def put(x: Any) -> jax.Array:
        shape = np.shape(x)
        if not shape or shape[0] % count:
            raise ValueError(
                f"A batch holds an array of shape {shape}, whose first axis cannot be split over "
                f"{count} devices. Give it the shape (devices, batch per device, ...), with "
                "common_utils.shard."
            )
        # On a CPU device_put keeps a view of host memory, even if told not to alias it.
        x = own(x) if isinstance(x, jax.Array) else np.array(x, subok=True)
        return jax.device_put(x, sharding)

    return _prefetched(iter(iterator), size, put)


def _prefetched(source: Iterator[Any], size: int, put: Callable[[Any], Any]) -> Iterator[Any]:
    ready: deque[Any] = deque()
    missing = size
    exhausted = object()
    while True:
        while missing and (batch := next(source, exhausted)) is not exhausted:
            ready.append(jax.tree_util.tree_map(put, batch))
            missing -= 1
        if not ready:
            return
        yield ready.popleft()
        missing += 1


def pad_shard_unpad(
    wrapped: Callable[..., Any],
    static_argnums: Sequence[int] = (0,),
    static_argnames: Sequence[str] = (),
    static_return: bool = False,
) -> Callable[..., Any]:
    """Let a function of sharded batches take batches of any size.

    Batches are padded with zeros until they divide by the number of devices and reshaped from
    ``[batch, ...]`` to ``[devices, batch / devices, ...]``; results are brought back to
    ``[batch, ...]`` without the padding. That fits functions made by `jax.pmap` that treat
    examples one by one, such as an evaluation step; means and sums over the batch would count
    the padding.

    Args:
        wrapped: The function.
        static_argnums: Positions of arguments to pass on as they are; by default the first one,
            which usually holds the parameters.
        static_argnames: Names of keyword arguments to pass on as they are.
        static_return: Return the result as it is, neither reshaped nor cut.

    Returns:
        A function like ``wrapped`` that also takes ``min_device_batch``: pad to at least so many
        examples per device, so that batches of several sizes share one compiled program. Its
        results are NumPy arrays.

    Raises:
        ValueError: On the call, when no argument is a batch, two of them differ in size, or a
            result has no batch axis.

    Example:
        >>> double = pad_shard_unpad(lambda params, x: 2 * x)
        >>> double(None, np.arange(5))
        array([0, 2, 4, 6, 8])
    """

    @functools.wraps(wrapped)
    def padded(*args: Any, min_device_batch: int | None = None, **kwargs: Any) -> Any:
        devices = jax.local_device_count()
        batches = (
            [arg for i, arg in enumerate(args) if i not in static_argnums],
            {name: arg for name, arg in kwargs.items() if name not in static_argnames},
        )
        size = _batch_size(batches)
        per_device = max(math.ceil(size / devices), min_device_batch or 0)

        def shard(x: Any) -> Any:
            if len(x) < devices * per_device:
                x = np.asarray(x)
                filler = np.zeros((devices * per_device - len(x), *x.shape[1:]), x.dtype)
                x = np.concatenate([x, filler])
            return x.reshape(devices, per_device, *x.shape[1:])

        def unshard(x: Any) -> Any:
            shape = np.shape(x)
            if shape[:2] != (devices, per_device):
                raise ValueError(
                    f"The function returned an array of shape {shape}, which does not begin with "
                    f"(devices, batch per device) = {devices, per_device}, so padding cannot be "
                    "cut off. Pass static_return=True to get it as it is."
                )
            return np.asarray(x).reshape(devices * per_device, *shape[2:])[:size]

        positional, named = jax.tree_util.tree_map(shard, batches)
        rest = iter(positional)
        out = wrapped(
            *(arg if i in static_argnums else next(rest) for i, arg in enumerate(args)),
            **{name: named.get(name, arg) for name, arg in kwargs.items()},
        )
        return out if static_return else jax.tree_util.tree_map(unshard, out)

    return padded


def _batch_size(batches: Any) -> int:
    """The common length of all arrays."""
    sizes = set()
    for path, leaf in jax.tree_util.tree_flatten_with_path(batches)[0]:
        if not np.shape(leaf):
            raise ValueError(
                f"The argument{jax.tree_util.keystr(path[1:])} is no array with a batch axis but "
                f"a {type(leaf).__name__}. List arguments that are no batches in static_argnums "
                "or static_argnames."
            )
        sizes.add(len(leaf))
    if len(sizes) != 1:
        found = f"batches of the sizes {sorted(sizes)}" if sizes else "no batch at all"
        raise ValueError(
            f"All batches must have one size, but the arguments hold {found}. Check "
            "static_argnums, which is (0,) by default: the first argument is passed on as it is."
        )
    return sizes.pop()


# --- around transformations -----------------------------------------------------------------------


def partial_eval_by_shape(
    fn: Callable[..., Any], input_spec: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """Evaluate what a function computes without the values of its inputs.

    Like `jax.eval_shape`, but outputs that do not depend on the inputs are computed. So a model
    gets its initial parameters without a single batch of data.

    Args:
        fn: Called as ``fn(*inputs, *args, **kwargs)``.
        input_spec: For each input its shape, or a pair of shape and dtype; float32 by default.
        *args: Further arguments, given by value.
        **kwargs: Keyword arguments, given by value.

    Returns:
        What ``fn`` returns, with a `jax.ShapeDtypeStruct` for each output that depends on the
        inputs.

    Raises:
        TypeError: An entry of ``input_spec`` is neither a shape nor a pair.

    Example:
        >>> partial_eval_by_shape(lambda x: (2 * x, jnp.zeros(2)), [(4, 3)])
        (ShapeDtypeStruct(shape=(4, 3), dtype=float32), Array([0., 0.], dtype=float32))
    """
    if not isinstance(input_spec, Iterable):
        raise TypeError(f"input_spec is a list with an entry for each input, not {input_spec!r}.")
    inputs = tuple(_as_struct(spec) for spec in input_spec)
    return evaluate_known(fn, (*inputs, *args), kwargs)


def _as_struct(spec: Any) -> jax.ShapeDtypeStruct:
    """Read a shape, a pair (shape, dtype), or anything that has both."""
    if hasattr(spec, "shape") and hasattr(spec, "dtype"):
        return jax.ShapeDtypeStruct(spec.shape, spec.dtype)
    dims: tuple[Any, ...] = tuple(spec) if isinstance(spec, Iterable) else (None,)
    dtype: Any = jnp.float32
    if len(dims) == 2 and isinstance(dims[0], (tuple, list)):
        dims, dtype = tuple(dims[0]), jnp.dtype(dims[1])
    if not all(isinstance(n, (int, np.integer)) for n in dims):
        raise TypeError(
            f"input_spec lists a shape, or a pair of shape and dtype, for each input; {spec!r} is "
            "neither. Examples: (8, 28, 28, 1) and ((8, 16), jnp.int32)."
        )
    return jax.ShapeDtypeStruct(dims, dtype)


def scan_in_dim(
    body_fn: Callable[[T, Any], tuple[T, Any]],
    init: T,
    xs: Any,
    axis: int | Sequence[int] = (0,),
    unroll: int | Sequence[int] = (1,),
    keepdims: bool = False,
) -> tuple[T, Any]:
    """Scan over any axis of arrays, or over several, the first one outermost.

    Shapes: ``body_fn`` sees each leaf of ``xs`` without the scanned axes; with ``keepdims`` they
    are there with size 1. In the result the scanned axes stand where they were.

    Args:
        body_fn: ``(carry, x) -> (carry, y)``, as for `jax.lax.scan`.
        init: The first carry.
        xs: A pytree of arrays.
        axis: The axis or axes.
        unroll: How many steps to unroll, for each axis or one number for all.
        keepdims: Keep the scanned axes, with size 1, in what ``body_fn`` takes and returns.

    Returns:
        The last carry, and the results stacked along ``axis``.

    Raises:
        ValueError: ``unroll`` has neither one value nor as many as ``axis``, or an axis does not
            exist or is named twice.

    Example:
        >>> total, doubled = scan_in_dim(lambda c, x: (c + x.sum(), 2 * x), 0, jnp.ones((2, 3)), 1)
        >>> int(total), doubled.shape
        (6, (2, 3))
    """
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    steps = (unroll,) if isinstance(unroll, int) else tuple(unroll)
    if len(steps) == 1:
        steps *= len(axes)
    if len(steps) != len(axes):
        raise ValueError(
            f"scan_in_dim got {len(steps)} values for unroll and {len(axes)} axes. Give one value, "
            "or one for each axis."
        )
    front = tuple(range(len(axes)))

    def innermost(carry: T, x: Any) -> tuple[T, Any]:
        if keepdims:
            x = jax.tree_util.tree_map(lambda a: jnp.expand_dims(a, axes), x)
        carry, y = body_fn(carry, x)
        if keepdims:
            y = jax.tree_util.tree_map(lambda a: jnp.squeeze(a, axes), y)
        return carry, y

    def over(
        body: Callable[[T, Any], tuple[T, Any]], step: int
    ) -> Callable[[T, Any], tuple[T, Any]]:
        return lambda carry, x: lax.scan(body, carry, x, unroll=step)

    def to_front(x: Any) -> Any:
        _check_axes(x, axes)
        return jnp.moveaxis(x, axes, front)

    def from_front(y: Any) -> Any:
        _check_axes(y, axes)
        return jnp.moveaxis(y, front, axes)

    run: Callable[[T, Any], tuple[T, Any]] = innermost
    for step in reversed(steps):
        run = over(run, step)
    carry, ys = run(init, jax.tree_util.tree_map(to_front, xs))
    return carry, jax.tree_util.tree_map(from_front, ys)


def _check_axes(x: Any, axes: tuple[int, ...]) -> None:
    """Refuse axes that an array does not have, or that are named twice."""
    shape = np.shape(x)
    if not all(-len(shape) <= axis < len(shape) for axis in axes):
        raise ValueError(
            f"scan_in_dim cannot use the axes {axes} with an array of shape {shape}: one of them "
            "does not exist there. The stacked results need all of them too."
        )
    if len({axis % len(shape) for axis in axes}) < len(axes):
        raise ValueError(f"scan_in_dim got one axis of an array of shape {shape} twice: {axes}.")
