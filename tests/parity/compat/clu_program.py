"""What a training script does with clu; `test_clu` runs it on Flax and on Ramie.

It prints everything it computes, and first the library that `flax` means.
"""

import sys
import warnings

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from clu import metrics, parameter_overview

warnings.simplefilter("error")


@flax.struct.dataclass
class TrainMetrics(metrics.Collection):
    accuracy: metrics.Accuracy
    loss: metrics.Average.from_output("loss")
    last_loss: metrics.LastValue.from_output("loss")
    predictions: metrics.CollectingMetric.from_outputs(("logits", "labels"))


class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=False)(nn.Conv(4, (3, 3))(x))
        return nn.Dense(3)(x.mean((1, 2)))


def step(variables, images, labels):
    logits, _ = Model().apply(variables, images, mutable=["batch_stats"])
    loss = -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)[:, 0]
    return TrainMetrics.single_from_model_output(logits=logits, labels=labels, loss=loss)


def show(values):
    for name, value in sorted(values.items()):
        print(name, jax.tree.map(lambda x: np.asarray(x).tolist(), value))


def main():
    print(nn.Module.__module__.partition(".")[0])
    images = jax.random.normal(jax.random.key(1), (6, 4, 4, 3))
    labels = jnp.arange(6) % 3
    variables = jax.jit(Model().init)(jax.random.key(0), images)

    compiled = jax.jit(step)
    batches = [compiled(variables, images[i : i + 2], labels[i : i + 2]) for i in (0, 2, 4)]
    total = batches[0]
    for batch in batches[1:]:
        total = total.merge(batch)
    show(total.compute())

    averages = [batch.loss for batch in batches]
    show({"stacked": jax.tree.map(lambda *x: jnp.stack(x), *averages).reduce().compute()})
    show({"empty": metrics.Average.empty().merge(averages[0]).compute()})
    show({"fields": flax.serialization.to_state_dict(averages[0])})
    print(flax.serialization.to_bytes(averages[0]).hex(), total.replace(loss=None).loss)

    params = variables["params"]
    for tree, stats in ((variables, False), (flax.core.freeze(params), "sharding")):
        print(parameter_overview.get_parameter_overview(tree, include_stats=stats))
        print(parameter_overview.count_parameters(tree))
    print(flax.__version__, "tensorflow" in sys.modules)


main()
