"""One of two processes of a job, started by `test_multiprocess`: saves and restores with the other.

`python -m tests.unit.checkpoint.process_of_job NUMBER PORT FOLDER`; it ends with status 0 if all is
as it should be.
"""

import os
import sys

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from tests.tolerance import assert_exact

from ramie import errors
from ramie.checkpoint import multiprocess
from ramie.training import checkpoints
from ramie.training.train_state import TrainState

ROWS = 8


def state_on(mesh, scale):
    """Return a training state whose parameters and momenta are sharded over a mesh."""

    def put(value, *spec):
        sharding = NamedSharding(mesh, PartitionSpec(*spec))
        return jax.make_array_from_callback(value.shape, sharding, lambda index: value[index])

    kernel = put(np.arange(ROWS * 2, dtype=np.float32).reshape(ROWS, 2) * scale, "x")
    params = {"kernel": kernel, "bias": put(np.full(2, scale, np.float32))}
    moments = {"kernel": kernel, "bias": params["bias"]}
    momentum = optax.TraceState(moments)
    state = TrainState(
        step=scale, apply_fn=None, params=params, tx=None, opt_state=(momentum, optax.EmptyState())
    )
    return state


def check(state, scale):
    """Compare the parts of a state that this process holds."""
    whole = np.arange(ROWS * 2, dtype=np.float32).reshape(ROWS, 2) * scale
    assert state.step == scale and type(state.opt_state[1]) is optax.EmptyState
    for kernel in (state.params["kernel"], state.opt_state[0].trace["kernel"]):
        for shard in kernel.addressable_shards:
            assert_exact(shard.data, whole[shard.index])
    assert_exact(np.asarray(state.params["bias"]), np.full(2, scale, np.float32))


def raises(kind, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except kind:
        return
    raise AssertionError(f"{call.__name__} raised no {kind.__name__}")


def main(number, port, folder):
    """Save in all the ways there are, and restore after each."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", 2, number)
    mesh = Mesh(np.array(jax.devices()), ("x",))
    blank = state_on(mesh, 0)
    save, restore = checkpoints.save_checkpoint_multiprocess, checkpoints.restore_checkpoint

    save(folder, state_on(mesh, 1), 1)
    check(restore(folder, blank), 1)
    manager = checkpoints.AsyncManager()
    save(folder, state_on(mesh, 2), 2, async_manager=manager)
    manager.wait_previous_save()
    check(restore(folder, blank), 2)
    save(folder, state_on(mesh, 3), 2, overwrite=True)
    checkpointer = ocp.AsyncCheckpointer(ocp.PyTreeCheckpointHandler())
    save(folder, state_on(mesh, 4), 4, keep=2, orbax_checkpointer=checkpointer)
    check(restore(folder, blank, orbax_checkpointer=checkpointer), 4)
    check(restore(folder, blank, 2), 3)

    # What one process finds damaged, all refuse.
    damaged = os.path.join(folder, "checkpoint_2", "_METADATA")
    with open(damaged, "rb") as file:
        content = file.read()
    for written in (content[:-1], content):
        multiprocess.meet()
        if number == 0:
            with open(damaged, "wb") as file:
                file.write(written)
        multiprocess.meet()
        if written != content:
            raises(errors.MalformedDataError, restore, folder, blank, 2)

    # What the first process refuses, the others are told, and nobody waits for ever.
    refused = errors.InvalidCheckpointError if number == 0 else RuntimeError
    raises(refused, save, folder, blank, 1)
    raises(errors.MPACheckpointingRequiredError, checkpoints.save_checkpoint, folder, blank, 9)
    unsharded = {"params": {"kernel": np.zeros((ROWS, 2), np.float32)}}
    raises(errors.MPARestoreTargetRequiredError, restore, folder, unsharded)
    found = restore(folder, unsharded, allow_partial_mpa_restoration=True)
    assert_exact(found["params"]["kernel"][1], np.array([8, 12], np.float32))

    path = save(folder, {"same everywhere": np.ones(2)}, 5, prefix="plain_")
    assert os.path.isfile(path)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
