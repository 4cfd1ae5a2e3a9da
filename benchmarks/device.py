"""`python -m benchmarks.device`: one accelerator, a GPT of 124 M parameters, at most five minutes.

Each part runs in a process of its own, so that its peak of memory is its own, and prints one line
of JSON; the first process only collects them. Parts that the time no longer allows are named.
Wants a JAX that knows the device, Optax, and Flax for its rows. `--small` is for the CPU.
"""

import argparse
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import gpt
from benchmarks.report import table

ROOT = Path(__file__).resolve().parent.parent
RATE = 1e-4
WARM_UP = 3
CONTENDERS = ("raw jax", "ramie linen", "flax linen", "ramie nnx", "flax nnx")
PARTS = (
    *(f"train, {name}" for name in CONTENDERS),
    "train, ramie nnx, donate auto",
    "train, ramie linen, cudnn",
    "attention, xla",
    "attention, cudnn",
    *(f"init, {name}" for name in CONTENDERS[1:]),
    "save, ramie linen",
    "save, flax linen",
)
HEADER = ("part", "tokens/s", "ms a step", "host ms a step", "peak MB", "loss", "remark")


class Step(NamedTuple):
    """A train step, and what it trains.

    Attributes:
      run: takes the batch, returns the loss.
      state: returns what it trains, as it is now.
    """

    run: Callable[[Any], Any]
    state: Callable[[], Any]


# --- the contenders ------------------------------------------------------------------------------


def _raw_step(size: gpt.Size, attend: gpt.Attention) -> Step:
    transform = optax.adamw(RATE)

    def step(state: Any, batch: Any) -> Any:
        params, optimizer = state

        def loss(params: Any) -> Any:
            return gpt.loss_of(gpt.raw_gpt(params, batch[:, :-1], size, attend), batch[:, 1:])

        value, gradients = jax.value_and_grad(loss)(params)
        updates, optimizer = transform.update(gradients, optimizer, params)
        return (optax.apply_updates(params, updates), optimizer), value

    params = jax.device_put(gpt.parameters(size))
    return _held(jax.jit(step, donate_argnums=0), (params, transform.init(params)))


def _linen_step(library: str, size: gpt.Size, attend: gpt.Attention) -> Step:
    model = gpt.linen_gpt(importlib.import_module(f"{library}.linen"), size, attend)
    train_state = importlib.import_module(f"{library}.training.train_state")

    def step(state: Any, batch: Any) -> Any:
        def loss(params: Any) -> Any:
            logits = state.apply_fn({"params": params}, batch[:, :-1])
            return gpt.loss_of(logits, batch[:, 1:])

        value, gradients = jax.value_and_grad(loss)(state.params)
        return state.apply_gradients(grads=gradients), value

    params = jax.device_put(gpt.parameters(size))
    state = train_state.TrainState.create(apply_fn=model.apply, params=params, tx=optax.adamw(RATE))
    return _held(jax.jit(step, donate_argnums=0), state)


def _held(step: Callable[[Any, Any], Any], state: Any) -> Step:
    held = [state]

    def run(batch: Any) -> Any:
        held[0], value = step(held[0], batch)
        return value

    return Step(run, lambda: held[0])


def _nnx_step(library: str, size: gpt.Size, attend: gpt.Attention, auto: bool) -> Step:
    nnx = importlib.import_module(f"{library}.nnx")
    graphdef, state = nnx.split(nnx.eval_shape(gpt.nnx_gpt(nnx, size, attend)))
    nnx.replace_by_pure_dict(state, jax.device_put(gpt.parameters(size)))
    model = nnx.merge(graphdef, state)
    optimizer = nnx.Optimizer(model, optax.adamw(RATE), wrt=nnx.Param)

    def step(model: Any, optimizer: Any, batch: Any) -> Any:
        def loss(model: Any) -> Any:
            return gpt.loss_of(model(batch[:, :-1]), batch[:, 1:])

        value, gradients = nnx.value_and_grad(loss)(model)
        optimizer.update(model, gradients)
        return value

    how: dict[str, Any] = {"donate": "auto"} if auto else {"donate_argnums": (0, 1)}
    jitted = nnx.jit(step, **how)
    return Step(lambda batch: jitted(model, optimizer, batch), lambda: nnx.state(model))


def _step(name: str, size: gpt.Size) -> Step:
    attend = gpt.attention("cudnn" if "cudnn" in name else "xla")
    library, _, style = name.split(",")[0].partition(" ")
    if library == "raw":
        return _raw_step(size, attend)
    if style == "linen":
        return _linen_step(library, size, attend)
    return _nnx_step(library, size, attend, auto="donate auto" in name)


# --- the parts -----------------------------------------------------------------------------------


def _peak() -> dict[str, float]:
    stats = jax.local_devices()[0].memory_stats() or {}
    return {"peak": stats["peak_bytes_in_use"] / 1e6} if "peak_bytes_in_use" in stats else {}


def _timed(run: Callable[[], Any], count: int) -> tuple[float, float, Any]:
    """Return the seconds of all calls, of issuing them, and what the last one returned."""
    start = time.perf_counter()
    for _ in range(count):
        out = run()
    issued = time.perf_counter() - start
    jax.block_until_ready(out)
    return time.perf_counter() - start, issued, out


def _train(name: str, size: gpt.Size, steps: int) -> dict[str, Any]:
    step, batch = _step(name, size), jnp.asarray(gpt.tokens(size))
    start = time.perf_counter()
    jax.block_until_ready(step.run(batch))
    first = time.perf_counter() - start
    for _ in range(WARM_UP - 1):
        jax.block_until_ready(step.run(batch))
    seconds, issued, loss = _timed(lambda: step.run(batch), steps)
    return {
        "tokens": size.tokens * steps / seconds,
        "step": 1e3 * seconds / steps,
        "host": 1e3 * issued / steps,
        "loss": float(loss),
        "remark": f"first step {first:.2f} s",
        **_peak(),
    }


def _attention(name: str, size: gpt.Size, steps: int) -> dict[str, Any]:
    attend = gpt.attention(name)
    shape = (size.batch, size.length, size.heads, size.width // size.heads)
    inputs = [jax.random.normal(jax.random.key(i), shape, size.dtype) for i in range(3)]

    @jax.jit
    def step(*inputs: jax.Array) -> Any:
        def total(*inputs: jax.Array) -> jax.Array:
            return attend(*inputs).astype(jnp.float32).sum()

        return jax.value_and_grad(total, argnums=(0, 1, 2))(*inputs)

    jax.block_until_ready(step(*inputs))
    seconds, issued, out = _timed(lambda: step(*inputs), steps)
    return {
        "tokens": size.tokens * steps / seconds,
        "step": 1e3 * seconds / steps,
        "host": 1e3 * issued / steps,
        "remark": f"one layer, forward and backward; sum {float(out[0]):.4g}",
        **_peak(),
    }


def _init(name: str, size: gpt.Size, steps: int) -> dict[str, Any]:
    del steps  # there is one first time
    library, _, style = name.partition(" ")
    namespace = importlib.import_module(f"{library}.{style}")
    ids, key = jnp.asarray(gpt.tokens(size)[:1, :-1]), jax.random.key(0)
    jax.block_until_ready((ids, key))
    start = time.perf_counter()
    if style == "linen":
        made = gpt.linen_gpt(namespace, size, gpt.attention("xla")).init(key, ids)
    else:
        made = namespace.state(gpt.nnx_gpt(namespace, size, gpt.attention("xla"))())
    jax.block_until_ready(jax.tree.leaves(made))
    seconds = time.perf_counter() - start
    return {"remark": f"first init {seconds:.2f} s, not jitted", **_peak()}


def _save(name: str, size: gpt.Size, steps: int) -> dict[str, Any]:
    library = name.partition(" ")[0]
    checkpoints = importlib.import_module(f"{library}.training.checkpoints")
    step, batch = _step(name, size), jnp.asarray(gpt.tokens(size))
    for _ in range(WARM_UP):
        jax.block_until_ready(step.run(batch))
    before, _, _ = _timed(lambda: step.run(batch), steps)
    expected = [np.array(x) for x in jax.tree.leaves(step.state())]
    with tempfile.TemporaryDirectory() as folder:
        manager = checkpoints.AsyncManager()
        start = time.perf_counter()
        checkpoints.save_checkpoint(folder, step.state(), 0, async_manager=manager)
        held = time.perf_counter() - start
        during, issued, loss = _timed(lambda: step.run(batch), steps)
        manager.wait_previous_save()
        whole = time.perf_counter() - start
        restored = jax.tree.leaves(checkpoints.restore_checkpoint(folder, step.state()))
    same = all(np.array_equal(x, y) for x, y in zip(expected, restored, strict=True))
    return {
        "tokens": size.tokens * steps / during,
        "step": 1e3 * during / steps,
        "host": 1e3 * issued / steps,
        "loss": float(loss),
        "remark": (
            f"held up {1e3 * held:.1f} ms, step {during / before:.2f}x of without, on disk after "
            f"{whole:.2f} s, {'the values of then' if same else 'OTHER VALUES'}"
        ),
        **_peak(),
    }


_KINDS = {"train": _train, "attention": _attention, "init": _init, "save": _save}


def _run_here(part: str, size: gpt.Size, steps: int) -> dict[str, Any]:
    """Run a part in this process; what a device cannot do is a remark."""
    kind, _, name = part.partition(", ")
    try:
        return _KINDS[kind](name, size, steps)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:100]
        return {"remark": f"{'unsupported' if 'cudnn' in part else 'failed'}: {reason}"}


def _run_apart(
    part: str, arguments: argparse.Namespace, seconds: float, programs: str
) -> dict[str, Any]:
    kind, _, name = part.partition(", ")
    command = [sys.executable, "-m", "benchmarks.device", "--part", part]
    command += ["--steps", str(arguments.steps), *(["--small"] if arguments.small else [])]
    hidden = ("JAX_COMPILATION_CACHE_DIR",)
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # for an honest peak
    if kind in ("train", "save"):  # the second need not compile what the first one has
        environment["JAX_COMPILATION_CACHE_DIR"] = os.path.join(programs, name)
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"remark": "not finished: the time was spent"}
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return {"remark": f"failed: {(done.stderr.splitlines() or ['no output'])[-1][:100]}"}
    return json.loads(lines[-1])  # type: ignore[no-any-return]


# --- the table -----------------------------------------------------------------------------------


def row(part: str, found: dict[str, Any]) -> list[str]:
    """Return the row of a part.

    Args:
      part: its name.
      found: what it found; what is not there stays empty.
    """
    digits = {"tokens": 0, "step": 2, "host": 2, "peak": 0, "loss": 4}
    cells = [f"{found[k]:.{n}f}" if k in found else "" for k, n in digits.items()]
    return [part, *cells, found.get("remark", "")]


def measure(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Run all parts that were asked for; return what each found."""
    end = time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory() as programs:
        return _measured(arguments, end, programs)


def _measured(
    arguments: argparse.Namespace, end: float, programs: str
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for part in arguments.parts:
        left = end - time.monotonic()
        if "flax" in part and importlib.util.find_spec("flax") is None:
            found[part] = {"remark": "not run: Flax is not installed"}
        elif left <= 0:
            found[part] = {"remark": "not run: the time was spent"}
        elif arguments.here:
            size = gpt.SMALL if arguments.small else gpt.FULL
            found[part] = _run_here(part, size, arguments.steps)
        else:
            found[part] = _run_apart(part, arguments, left, programs)
        print(f"{part}: {found[part]}", file=sys.stderr, flush=True)
    return found


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__)
    parser.add_argument("--small", action="store_true", help="a tiny model, for the CPU")
    parser.add_argument("--steps", type=int, default=20, help="that are timed")
    parser.add_argument("--seconds", type=float, default=280, help="that all parts may take")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--part", choices=PARTS, help="run only this, and print what it found")
    parser.add_argument("--here", action="store_true", help="all in one process, without peaks")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> None:
    """Measure and print the table, or one part of it."""
    arguments = parse(words)
    size = gpt.SMALL if arguments.small else gpt.FULL
    if arguments.part:
        print(json.dumps(_run_here(arguments.part, size, arguments.steps)))
        return
    found = measure(arguments)
    print(
        f"{size.layers} layers of width {size.width}, {size.batch} sequences of {size.length} "
        f"tokens, {jnp.dtype(size.dtype).name}; {arguments.steps} steps.\n"
    )
    print(table(HEADER, (row(part, each) for part, each in found.items())))


if __name__ == "__main__":
    main()
