"""Names of JAX that are not public: a JAX without one costs a feature at most."""

import ast
import inspect
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from ramie import errors, nnx
from ramie.core.tracing import trace


def _private_names():
    """Return (module, name) of all that the source of the module takes from `jax._src`."""
    tree = ast.parse(inspect.getsource(trace))
    found, modules = set(), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("jax._src") for alias in node.names)
        if not (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jax._src")):
            continue
        found |= {(node.module, alias.name) for alias in node.names}
        if node.module == "jax._src":
            modules |= {a.asname or a.name: f"jax._src.{a.name}" for a in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in modules:
            found.add((modules[node.value.id], node.attr))
    return sorted(found)


# Runs before anything of Ramie is imported: its one module that asks JAX for private names does not
# get those that are hidden. JAX itself, which needs them, keeps them.
HIDE = """
import builtins, importlib, json, sys, types

HIDDEN = {tuple(pair) for pair in json.loads(sys.argv[1])}
MISSED = set()
really_import = builtins.__import__


class Without:
    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        if (self._module, name) in HIDDEN:
            MISSED.add((self._module, name))
            raise AttributeError(f"module {self._module!r} has no attribute {name!r}")
        return getattr(sys.modules[self._module], name)


def import_without(name, globals=None, locals=None, fromlist=(), level=0):
    module = really_import(name, globals, locals, fromlist, level)
    is_asking = globals is not None and globals.get("__name__") == "ramie.core.tracing.trace"
    if not (is_asking and name.startswith("jax._src")):
        return module
    for wanted in fromlist:
        if (name, wanted) in HIDDEN:
            MISSED.add((name, wanted))
            raise ImportError(f"cannot import name {wanted!r} from {name!r} (here)", name=name)
    if name != "jax._src":
        return module
    return types.SimpleNamespace(**{wanted: Without(f"{name}.{wanted}") for wanted in fromlist})


builtins.__import__ = import_without
"""

SMOKE = """
import pkgutil, tempfile, warnings

import jax, jax.numpy as jnp, numpy as np, optax
import ramie
from ramie import checkpoint, errors, linen as nn, nnx
from ramie.core.tracing import trace

for found in pkgutil.walk_packages(ramie.__path__, "ramie."):
    if found.name.split(".")[-1] not in ("__main__", "pytest_plugin"):
        importlib.import_module(found.name)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=False)(nn.Dense(3)(x))
        return nn.Dense(1)(nn.relu(x) + self.make_rng("noise")[0] % 2)


def sums(tree):
    return [float(np.float64(x).sum()) for x in jax.tree.leaves(tree)]


def linen():
    net, x = Net(), jnp.arange(8.0).reshape(2, 4)
    variables = net.init({"params": jax.random.key(0), "noise": jax.random.PRNGKey(1)}, x)
    out = net.apply(variables, x, rngs={"noise": jax.random.PRNGKey(2)}, mutable=["batch_stats"])
    loss = lambda v: net.apply(v, x, rngs={"noise": jax.random.PRNGKey(2)}, mutable=True)[0].sum()
    try:
        net.apply(variables, x)
    except errors.ModifyScopeVariableError:
        return sums((variables, out, jax.jit(jax.grad(loss))(variables)["params"]))


class Model(nnx.Module):
    def __init__(self, rngs):
        self.inner, self.calls = nnx.Linear(4, 2, rngs=rngs), nnx.BatchStat(jnp.array(0))

    def __call__(self, x):
        self.calls[...] += 1
        return self.inner(x)


def of_nnx():
    model, x = Model(nnx.Rngs(0)), jnp.ones((3, 4))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        loss, grads = nnx.value_and_grad(lambda model: (model(x) ** 2).mean())(model)
        optimizer.update(model, grads)
        return loss

    losses = [step(model, optimizer) for _ in range(2)]
    graphdef, state = nnx.split(model)
    again = nnx.merge(graphdef, state)
    try:
        jax.jit(lambda: again(x))()
    except errors.TraceContextError:
        return sums((losses, state, again(x), again.calls[...]))


def on_disk():
    tree = {"a": jnp.arange(3.0), "n": 3}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(folder, tree, 1)
        return sums(checkpoint.restore(folder, tree))


def same_element_type():
    fm32 = nn.fp8_ops.fm32
    there = jax.jit(lambda x: jax.lax.convert_element_type(x, fm32))(jnp.ones(2))
    return sums(jax.lax.convert_element_type(there, jnp.float32))


def cells():
    v = nnx.Param(jnp.ones(2), hijax=True)
    v[...] = v + 1
    read = jax.jit(lambda v: v[...] * 2)(v)
    if trace.has_boxes():
        jax.jit(lambda v: v.set_value(v + 1))(v)
        return sums((read, v[...]))
    try:
        jax.jit(lambda v: v.set_value(v + 1))(v)
    except errors.ImmutableVariableError:
        return sums((read, v[...] + 1))


def box():
    return sums(trace.new_box(jnp.ones(2)).get())


def frames():
    from ramie import traceback_util
    traceback_util.hide_flax_in_tracebacks()
    traceback_util.show_flax_in_tracebacks()
    return sums(traceback_util.api_boundary(lambda x: x + 1)(1))


results, missing = {}, {}
for part in (linen, of_nnx, on_disk, same_element_type, cells, box, frames):
    try:
        results[part.__name__] = part()
    except errors.MissingInJaxError as error:
        missing[part.__name__] = str(error)
print(json.dumps([results, missing, sorted(MISSED)]))
"""

# Which part of the program above says that it lacks the name; nothing says so for the others.
SAYS_SO = {
    "Box": {"box"},
    "BoxTy": {"box"},
    "ExtendedDType": {"same_element_type"},
    "EArray": {"same_element_type"},
    "physical_aval": {"same_element_type"},
    "physical_sharding": {"same_element_type"},
    "global_aval_to_result_handler": {"same_element_type"},
}


def _run(hidden):
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", HIDE + SMOKE, json.dumps(hidden)],
        env={**os.environ, "XLA_FLAGS": "--xla_backend_optimization_level=0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def whole():
    results, missing, _ = _run([])
    assert None not in results.values()
    return results, missing


@pytest.mark.parametrize(("module", "name"), _private_names())
def test_without_a_private_name_only_its_feature_is_lost_and_says_so(module, name, whole):
    results, missing, asked = _run([(module, name)])
    assert [module, name] in asked  # else nothing was hidden
    others = set(whole[1])  # what this JAX lacks anyway
    assert set(missing) - others <= SAYS_SO.get(name, set())
    for part in set(missing) - others:
        assert f"{module}.{name}" in missing[part] and f"JAX {jax.__version__} " in missing[part]
    for part, values in results.items():
        assert values == whole[0][part], part  # every bit, not only no error


def test_without_any_private_name_all_the_others_work(whole):
    results, missing, _ = _run(_private_names())
    assert set(missing) == {"same_element_type", "box"}
    assert results == {part: whole[0][part] for part in results}


def test_the_names_that_are_known_to_be_needed_are_found():
    names = {name for _, name in _private_names()}
    assert names >= {"trace_ctx", "eval_context", "_exclude_paths", "EArray", *SAYS_SO}


@pytest.fixture
def without_context(monkeypatch):
    monkeypatch.setattr(trace, "_context", None)


def test_tokens_from_public_states_are_one_for_each_trace():
    tokens = trace._Tokens()
    outside = tokens.of(trace.current_trace())
    inside = []

    def f(x):
        inside.append(tokens.of(trace.current_trace()))
        jax.vmap(lambda x: inside.append(tokens.of(trace.current_trace())) or x)(x)
        inside.append(tokens.of(trace.current_trace()))
        return x

    for _ in range(100):
        inside.clear()
        jax.jit(lambda x: f(x))(jnp.ones(1))
        assert inside[0] is inside[2] and inside[1] is not inside[0]
        assert tokens.of(trace.current_trace()) is outside not in inside
    assert len(tokens._known) < 70  # those of traces that are over are let go


def test_being_outside_of_all_traces_is_told_by_public_means(without_context):
    assert trace.is_top_level()
    seen = []
    jax.jit(lambda x: seen.append(trace.is_top_level()))(1.0)
    jax.vmap(lambda x: seen.append(trace.is_top_level()))(jnp.ones(2))
    assert seen == [False, False]


def test_a_leak_is_left_to_jax_where_nobody_can_tell(without_context):
    base = trace.current_trace()
    assert jax.jit(lambda x: x + trace.is_leak(base, x))(1.0) == 1


def test_element_types_say_that_jax_knows_none():
    class Own(trace._NoExtendedDType):
        pass

    for use in (jnp.ones(1).astype, lambda dtype: jnp.zeros(2, dtype)):
        with pytest.raises(errors.MissingInJaxError, match=r"JAX .*ExtendedDType.*fp8"):
            use(Own())


def test_a_variable_outside_is_not_changed_inside():
    v = nnx.Variable(jnp.array(1))
    with pytest.raises(errors.TraceContextError):
        jax.jit(lambda: v.set_value(jnp.array(2)))()


def test_is_compiled_knows_a_jit_around():
    seen = []

    def note(x):
        seen.append(trace.is_compiled())
        return x

    note(1.0)
    jax.grad(note)(1.0)
    jax.checkpoint(note)(1.0)
    assert seen == [False] * 3
    jax.jit(jax.grad(note))(1.0)
    jax.make_jaxpr(jax.checkpoint(note))(1.0)
    assert all(seen[3:])


def test_trace_settings_differ_with_what_a_trace_depends_on():
    plain = trace.trace_settings()
    assert plain == trace.trace_settings()
    with jax.default_matmul_precision("highest"):
        assert trace.trace_settings() != plain
    with jax.set_mesh(jax.make_mesh((1,), ("a",))):
        assert trace.trace_settings() != plain
