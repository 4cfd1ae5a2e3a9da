import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tolerance import assert_exact

import ramie.linen as nn
from ramie.configurations import config
from ramie.ops import initializers
from ramie.ops.drawing import sampling
from ramie.ops.eager import dispatch, proofs


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(proofs, "_folder", lambda: tmp_path)
    dispatch.forget()
    yield tmp_path
    dispatch.forget()


def _ask(*ways, plain=1.0, name="x"):
    """Return the place that is found, and which ways were run."""
    ran = []

    def run(place, value):
        ran.append(place)
        return np.asarray(value)

    runs = [lambda i=i, value=value: run(i, value) for i, value in enumerate(ways)]
    return proofs.first_equal(name, lambda: run("plain", plain), runs), ran


def test_the_first_way_with_the_same_bits_is_found_once():
    assert _ask(2.0, 1.0, 1.0) == (1, ["plain", 0, 1])
    assert _ask(2.0, 1.0, 1.0) == (1, [])
    assert _ask(2.0, name="other") == (None, ["plain", 0])
    assert _ask(2.0, name="other") == (None, [])


@pytest.mark.parametrize(
    ("plain", "way"),
    [
        (0.0, -0.0),
        (np.float32(1), np.float64(1)),
        (np.ones((2, 1)), np.ones((1, 2))),
        ([1.0, 2.0], [1.0, np.nextafter(2.0, 3.0)]),
    ],
)
def test_every_bit_and_the_form_count(plain, way):
    assert _ask(way, plain=plain)[0] is None
    assert _ask(plain, plain=plain, name="same")[0] == 0


def test_a_weak_type_counts():
    weak = jnp.asarray(1.0)
    assert weak.weak_type
    assert proofs.first_equal("x", lambda: weak, [lambda: jnp.float32(1.0)]) is None


def test_what_was_found_is_kept_for_other_processes(folder):
    _ask(2.0, 1.0)
    _ask(2.0, name="other")
    proofs.forget()
    assert _ask(2.0, 1.0) == (1, [])
    assert _ask(2.0, name="other") == (None, [])
    assert len(list(folder.iterdir())) == 2


@given(st.binary(max_size=40))
def test_a_file_that_holds_something_else_is_made_anew(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("proofs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proofs, "_folder", lambda: folder)
        proofs.forget()
        _ask(2.0, 1.0)
        (file,) = folder.iterdir()
        file.write_bytes(content)
        proofs.forget()
        found, ran = _ask(2.0, 1.0)
        if content in (b"none", b"0", b"00", b"1", b"01"):
            assert not ran
        elif not (content.isdigit() and int(content) < 2):
            assert (found, ran) == (1, ["plain", 0, 1])
            assert file.read_text() == "1"
    proofs.forget()


def test_where_nothing_can_be_kept_it_is_found_out_again(folder, monkeypatch):
    in_the_way = folder / "file"
    in_the_way.write_text("")
    for place in (in_the_way / "below", None):
        monkeypatch.setattr(proofs, "_folder", lambda place=place: place)
        for _ in range(2):
            proofs.forget()
            assert _ask(1.0) == (0, ["plain", 0])


def test_what_could_not_get_its_name_leaves_nothing_behind(folder):
    _ask(1.0)
    (file,) = folder.iterdir()
    file.unlink()
    file.mkdir()
    proofs.forget()
    assert _ask(1.0) == (0, ["plain", 0])
    assert list(folder.iterdir()) == [file]


def test_another_jax_processor_or_compiler_flag_is_asked_anew(monkeypatch):
    for change in (
        lambda patch: patch.setattr(jax, "__version__", "99.0"),
        lambda patch: patch.setattr(proofs, "_processor", lambda: "another"),
        lambda patch: patch.setenv("XLA_FLAGS", "--another"),
    ):
        proofs._surroundings.cache_clear()
        proofs.forget()
        assert _ask(2.0, 1.0)[0] == 1
        with monkeypatch.context() as patch:
            change(patch)
            proofs._surroundings.cache_clear()
            proofs.forget()
            assert _ask(2.0, 1.0)[1], "an answer of other surroundings was taken"
    proofs._surroundings.cache_clear()


def test_what_cannot_be_compared_is_not_kept(folder):
    def broken():
        raise FloatingPointError

    assert proofs.first_equal("x", broken, [lambda: jnp.ones(2)]) is None
    assert proofs.first_equal("y", lambda: jnp.ones(2), [broken]) is None
    assert not list(folder.iterdir())


def test_files_lie_beside_the_programs_of_jax_or_in_the_cache_of_the_user(monkeypatch, tmp_path):
    monkeypatch.undo()
    programs = jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", str(tmp_path))
        assert proofs._folder() == tmp_path / "ramie-proofs"
        jax.config.update("jax_compilation_cache_dir", "gs://bucket/programs")
        assert proofs._folder() is None
        jax.config.update("jax_compilation_cache_dir", None)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert proofs._folder() == tmp_path / "ramie" / "proofs"
        with config.temp_flip_flag("keep_proofs", False):
            assert proofs._folder() is None
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        for chosen in ("", "relative/caches"):
            monkeypatch.setenv("XDG_CACHE_HOME", chosen)
            assert proofs._folder() == tmp_path / "home" / ".cache" / "ramie" / "proofs"
        monkeypatch.setenv("HOME", "/")
        assert proofs._folder() is None
    finally:
        jax.config.update("jax_compilation_cache_dir", programs)


def test_a_guard_against_transfers_does_not_stop_a_comparison():
    with jax.transfer_guard("disallow"):
        assert _ask(1.0)[0] == 0
        found = proofs.first_equal("y", lambda: jnp.asarray(np.ones(2)), [lambda: jnp.ones(2)])
    assert found == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64", "int8", "bool"])
def test_numbers_are_of_any_dtype(dtype):
    made = proofs.numbers((4, 5), dtype)
    assert made.shape == (4, 5) and made.dtype == dtype
    assert len(np.unique(np.asarray(made))) > 1


# --- a JAX that rounds otherwise ------------------------------------------------------------------


def _rounding_otherwise(maker):
    def make(*args, **kwargs):
        sample = maker(*args, **kwargs)
        return lambda *call: jnp.nextafter(sample(*call), jnp.inf)

    return make


@pytest.mark.parametrize(
    ("name", "settings", "shape"),
    [
        ("normal", (0.031,), (6, 20)),
        ("uniform", (0.031,), (6, 20)),
        ("truncated_normal", (0.031,), (6, 3)),
        ("variance_scaling", (1.3, "fan_in", "normal"), (6, 20)),
        ("variance_scaling", (1.3, "fan_in", "truncated_normal"), (6, 20)),
        ("variance_scaling", (1.3, "fan_out", "uniform"), (300, 80)),
    ],
)
def test_initializers_step_aside_where_jax_rounds_otherwise(name, settings, shape, monkeypatch):
    maker = getattr(jax.nn.initializers, name)
    monkeypatch.setattr(jax.nn.initializers, name, _rounding_otherwise(maker))
    init, key = getattr(initializers, name)(*settings), jax.random.key(5)
    assert sampling.is_direct()
    assert init.draw(key, shape, jnp.float32) is None
    plain = _rounding_otherwise(maker)(*settings)(key, shape, jnp.float32)
    assert_exact(init(key, shape), plain)
    table = nn.Embed(*shape, embedding_init=init)
    fast = table.init(key, jnp.zeros(2, int))["params"]["embedding"]
    with config.temp_flip_flag("fast_init", False):
        assert_exact(fast, table.init(key, jnp.zeros(2, int))["params"]["embedding"])


# --- what the comparisons cost --------------------------------------------------------------------

START = """
import json, sys
from jax import monitoring

counts = {"compiled": 0, "opened": 0}

def compiled(event, duration, **_):
    counts["compiled"] += event == "/jax/core/compile/backend_compile_duration"

def opened(event, arguments):
    counts["opened"] += event == "open" and "proofs/" in str(arguments[0])

monitoring.register_event_duration_secs_listener(compiled)
sys.addaudithook(opened)

import jax
import ramie.linen as nn
from benchmarks import resnet
from ramie.ops.eager import proofs

if sys.argv[1] == "unchecked":
    proofs.first_equal = lambda *_: 0
model = resnet.linen_resnet(nn)
jax.block_until_ready(model.init(jax.random.key(0), resnet.image()))
print(json.dumps(counts))
"""


def test_the_first_init_of_a_resnet_compiles_nothing_to_compare(tmp_path):
    def start(mode):
        hidden = ("JAX_COMPILATION_CACHE_DIR", "XLA_FLAGS")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        result = subprocess.run(
            [sys.executable, "-c", START, mode],
            cwd=Path(__file__).resolve().parents[4],
            env={**environment, "XDG_CACHE_HOME": str(tmp_path), "RAMIE_KEEP_PROOFS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(result.stdout)

    unchecked = start("unchecked")
    assert unchecked["opened"] == 0
    first, second = start("checked"), start("checked")
    # One initializer, drawn in blocks of one size: one plain program, of several steps.
    assert unchecked["compiled"] < first["compiled"] <= unchecked["compiled"] + 8
    assert second == {"compiled": unchecked["compiled"], "opened": 1}
