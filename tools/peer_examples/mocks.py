"""Data that is made up, the same in every run: TFDS without its downloads."""

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock


@contextlib.contextmanager
def tfds_data(
    examples: int, *, splits: Mapping[str, int] | None = None, **options: Any
) -> Iterator[None]:
    """Let TFDS serve random examples, drawn from fixed seeds.

    Args:
      examples: how many a split has.
      splits: what the information on the data set says of each split, where an example asks.
      **options: more for `tfds.testing.mock_data`, such as `as_dataset_fn`.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    tf.random.set_seed(0)
    with contextlib.ExitStack() as stack:
        # Parallel calls would draw their random numbers in an order of their own.
        stack.enter_context(mock.patch.object(tf.data.experimental, "AUTOTUNE", 1))
        stack.enter_context(tfds.testing.mock_data(num_examples=examples, **options))
        if splits is not None:
            name = tfds.core.ShardedFileTemplate("/", "data", "tfrecord")
            told = tfds.core.SplitDict(
                [
                    tfds.core.SplitInfo(
                        name=split, shard_lengths=[size], num_bytes=0, filename_template=name
                    )
                    for split, size in splits.items()
                ]
            )
            info = tfds.core.DatasetInfo
            stack.enter_context(mock.patch.object(info, "splits", property(lambda _: told)))
        yield


def served(data: Mapping[str, Mapping[str, Any]]) -> Any:
    """Return an `as_dataset_fn` that serves these arrays, features by split."""
    import tensorflow as tf

    def as_dataset(*_: Any, split: str = "train", **__: Any) -> Any:
        return tf.data.Dataset.from_tensor_slices(dict(data[str(split).partition("[")[0]]))

    return as_dataset


def give_tensorflow_text(module: Any, name: str) -> None:
    """Give a module the package that it does not import on Python 3.13, where there is one now."""
    if not hasattr(module, name):
        setattr(module, name, importlib.import_module("tensorflow_text"))
