"""Small tools for loops that run one copy of the model per device, and for class labels."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ramie.typing import Array

__all__ = ["get_metrics", "onehot", "shard", "shard_prng_key", "stack_forest"]


def shard(xs: Any) -> Any:
    """Split the leading axis of every array over the local devices.

    Args:
        xs: A pytree of arrays `[batch, ...]`; `batch` must be a multiple of the device count.

    Returns:
        The same tree with arrays `[devices, batch / devices, ...]`. NumPy stays NumPy.

    Raises:
        ValueError: An array has no leading axis, or one that cannot be split evenly.

    Example:
        >>> import jax, numpy as np
        >>> from ramie.training import common_utils
        >>> devices = jax.local_device_count()
        >>> common_utils.shard(np.zeros((6 * devices, 5))).shape == (devices, 6, 5)
        True
    """
    devices = jax.local_device_count()

    def split(path: Any, x: Any) -> Any:
        x = x if hasattr(x, "reshape") else np.asarray(x)
        if not x.ndim or x.shape[0] % devices:
            where = jax.tree_util.keystr(path) or "the array"
            raise ValueError(
                f"{where} has shape {x.shape}; its leading axis cannot be split evenly over "
                f"{devices} local devices. Use a batch size that is a multiple of {devices}."
            )
        return x.reshape((devices, x.shape[0] // devices, *x.shape[1:]))

    return jax.tree_util.tree_map_with_path(split, xs)


def shard_prng_key(prng_key: Array) -> Array:
    """Make one random key per local device, for dropout and the like.

    Args:
        prng_key: A key, new style or raw.

    Returns:
        An array of keys whose leading axis is the local device count.
    """
    return jax.random.split(prng_key, jax.local_device_count())


def stack_forest(forest: Sequence[Any]) -> Any:
    """Turn a sequence of equal trees into one tree of stacked arrays.

    Args:
        forest: Pytrees of one structure, whose corresponding leaves have one shape.

    Returns:
        A tree of that structure; each leaf has a new leading axis as long as `forest`.

    Raises:
        ValueError: `forest` is empty, or its trees differ in structure.

    Example:
        >>> from ramie.training import common_utils
        >>> common_utils.stack_forest([{"loss": 2.0}, {"loss": 1.0}])["loss"].tolist()
        [2.0, 1.0]
    """
    if not forest:
        raise ValueError("stack_forest needs at least one tree, but the sequence is empty")
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *forest)


def get_metrics(device_metrics: Sequence[Any]) -> Any:
    """Collect metrics that every device computed alike, one tree per step, into one tree.

    Args:
        device_metrics: For each step a tree of arrays `[devices, ...]`, equal along that axis.

    Returns:
        One tree of arrays `[steps, ...]` on one device, ready for means and logs.

    Raises:
        ValueError: There are no steps, or an array has no device axis.
    """
    if not device_metrics:
        raise ValueError("get_metrics needs at least one step, but the sequence is empty")
    return stack_forest(jax.device_get(jax.tree.map(_first_copy, list(device_metrics))))


def onehot(
    labels: ArrayLike, num_classes: int, on_value: float = 1.0, off_value: float = 0.0
) -> Array:
    """Encode class numbers as rows that are `off_value` except at the class.

    `jax.nn.one_hot` does the same for ones and zeros. Labels outside `0 .. num_classes - 1` give a
    row of `off_value`.

    Args:
        labels: Class numbers `[...]`; of floating point, only whole numbers name a class.
        num_classes: The length of each row.
        on_value: The value at the class, lower than 1 for label smoothing.
        off_value: The value elsewhere.

    Returns:
        float32 `[..., num_classes]`.

    Example:
        >>> from ramie.training import common_utils
        >>> common_utils.onehot([0, 2], 3).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    numbers = jnp.asarray(labels)[..., None]
    if jnp.issubdtype(numbers.dtype, jnp.floating):  # 16 bits do not tell 256 from 257
        numbers = numbers.astype(jnp.promote_types(numbers.dtype, jnp.float32))
    classes = jnp.arange(num_classes).reshape((1,) * (numbers.ndim - 1) + (num_classes,))
    return jnp.where(numbers == classes, jnp.float32(on_value), jnp.float32(off_value))


def _first_copy(x: Any) -> Any:
    if not np.ndim(x):
        raise ValueError(
            f"get_metrics expects arrays with a leading device axis, but found the scalar {x!r}; "
            "scalars of one device can go to stack_forest"
        )
    # Reading the first shard costs no transfer between devices, which indexing would.
    if isinstance(x, jax.Array) and len(x.sharding.device_set) > 1:
        return x.addressable_data(0)[0]
    return x[0]
