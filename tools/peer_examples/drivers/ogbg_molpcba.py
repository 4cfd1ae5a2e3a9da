"""Properties of molecules by graph networks, in Linen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from tools.peer_examples import mocks
from tools.peer_examples.record import Record, calls

FOLDER = "ogbg_molpcba"
NEEDS = ("tensorflow", "tensorflow_datasets", "clu", "jraph", "ml_collections", "sklearn")
WHAT = "`train_and_evaluate` with both models: 6 steps, 2 evaluations, checkpoints; batches of 8"

_SIZES = {"train": 60, "validation": 20, "test": 21}


def _graphs(count: int) -> Any:
    """Return a data set of random trees, as molecules nearly are."""
    import numpy as np
    import tensorflow as tf

    def draw() -> Any:
        random = np.random.default_rng(count)
        for _ in range(count):
            nodes = int(random.integers(3, 12))
            parents = [int(random.integers(0, node)) for node in range(1, nodes)]
            yield {
                "edge_feat": random.normal(size=(nodes - 1, 3)).astype(np.float32),
                "edge_index": np.array([[p, n] for n, p in enumerate(parents, 1)], np.int64),
                "labels": np.where(
                    random.random(128) < 0.2, np.nan, random.integers(0, 2, 128)
                ).astype(np.float32),
                "node_feat": random.normal(size=(nodes, 9)).astype(np.float32),
                "num_edges": np.array([nodes - 1]),
                "num_nodes": np.array([nodes]),
            }

    spec = tf.TensorSpec
    signature = {
        "edge_feat": spec((None, 3), tf.float32),
        "edge_index": spec((None, 2), tf.int64),
        "labels": spec((128,), tf.float32),
        "node_feat": spec((None, 9), tf.float32),
        "num_edges": spec((None,), tf.int64),
        "num_nodes": spec((None,), tf.int64),
    }
    return tf.data.Dataset.from_generator(draw, output_signature=signature)


def _read_once(get_datasets: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with data sets that lie in memory.

    Those of the example read their training data through one generator from several threads:
    the order changes from run to run, and some runs hang.
    """
    import tensorflow as tf

    def read(*args: Any, **kwargs: Any) -> Any:
        kept = {}
        for split, dataset in get_datasets(*args, **kwargs).items():
            batches = list(dataset.take(8).as_numpy_iterator())
            kept[split] = tf.data.Dataset.from_generator(
                lambda batches=batches: iter(batches), output_signature=dataset.element_spec
            )
        return kept

    return read


def run(record: Record, workdir: Path) -> None:
    """Train each of the two models for six steps."""
    import input_pipeline
    import train
    from configs import default_graph_net, test

    parameters = {}

    def evaluated(result: dict[str, Any], _: object) -> None:
        record.step({split: metrics.compute() for split, metrics in result.items()})

    for module in (test, default_graph_net):
        config = module.get_config()
        config.batch_size, config.num_train_steps, config.latent_size = 8, 6, 32
        config.log_every_steps = config.eval_every_steps = config.checkpoint_every_steps = 3
        read = _read_once(input_pipeline.get_datasets)
        with (
            mock.patch.object(input_pipeline, "get_datasets", read),
            mocks.tfds_data(60, as_dataset_fn=lambda *_, split, **__: _graphs(_SIZES[split])),
            calls(train, "train_step", lambda result, _: record.step(result[1])),
            calls(train, "evaluate_model", evaluated),
        ):
            folder = workdir / config.model
            parameters[config.model] = train.train_and_evaluate(config, str(folder)).params
    record.parameters(parameters)
