"""The script for an accelerator, at a size for the CPU: its table, and that contenders agree."""

import importlib.util

import jax
import jax.numpy as jnp
import pytest
from benchmarks import device, gpt
from tests.tolerance import assert_close

import ramie.linen as nn
from ramie import nnx

HAS_FLAX = importlib.util.find_spec("flax") is not None


@pytest.mark.long
def test_all_forms_of_the_model_compute_the_same():
    size = gpt.SMALL._replace(dtype=jnp.float32)
    attend = gpt.attention("xla")
    params, ids = gpt.parameters(size), gpt.tokens(size)[:, :-1]
    expected = gpt.raw_gpt(jax.device_put(params), ids, size, attend)
    linen = gpt.linen_gpt(nn, size, attend).apply({"params": params}, ids)
    assert_close(linen, expected, "model")
    graphdef, state = nnx.split(gpt.nnx_gpt(nnx, size, attend)())
    nnx.replace_by_pure_dict(state, jax.device_put(params))
    assert_close(nnx.merge(graphdef, state)(ids), expected, "model")


def test_the_parameters_are_those_that_the_modules_ask_for():
    model = gpt.linen_gpt(nn, gpt.SMALL, gpt.attention("xla"))
    ids = gpt.tokens(gpt.SMALL)[:, :-1]
    expected = jax.eval_shape(model.init, jax.random.key(0), ids)["params"]
    found = gpt.parameters(gpt.SMALL)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(lambda x: x.shape, expected)


def test_the_full_model_has_124_million_parameters():
    model = gpt.linen_gpt(nn, gpt.FULL, gpt.attention("xla"))
    ids = jax.ShapeDtypeStruct((1, gpt.FULL.length), jnp.int32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), ids)
    assert round(sum(x.size for x in jax.tree.leaves(shapes)) / 1e6) == 124


@pytest.mark.long
def test_the_script_has_a_row_for_each_part_and_all_contenders_lose_the_same(capsys):
    with jax.numpy_rank_promotion("allow"):
        device.main(["--small", "--here", "--steps", "2"])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert header == list(device.HEADER)
    assert [row[0] for row in rows] == list(device.PARTS)
    losses = {}
    for part, rate, step, host, _, loss, remark in rows:
        if "flax" in part and not HAS_FLAX:
            assert remark == "not run: Flax is not installed"
        elif "cudnn" in part and jax.default_backend() == "cpu":
            assert remark.startswith("unsupported: ")
        elif not part.startswith("init"):
            assert float(rate) > 0 and float(step) > 0 and float(host) > 0, (part, remark)
            assert "failed" not in remark and "OTHER VALUES" not in remark
            if part.startswith("train"):
                losses[part] = float(loss)
        else:
            assert remark.startswith("first init ")
    assert len(losses) == (6 if HAS_FLAX else 4)
    for loss in losses.values():
        assert_close(jnp.bfloat16(loss), jnp.bfloat16(losses["train, raw jax"]), "model")


@pytest.mark.long
def test_each_part_runs_in_a_process_of_its_own_that_prints_what_it_found(capsys):
    device.main(["--small", "--steps", "1", "--parts", "attention, xla"])
    printed = capsys.readouterr()
    assert "| attention, xla |" in printed.out
    assert "one layer, forward and backward" in printed.out


def test_parts_that_the_time_does_not_allow_are_named(capsys):
    device.main(["--small", "--seconds", "0", "--parts", "attention, xla", "init, ramie nnx"])
    assert capsys.readouterr().out.count("not run: the time was spent") == 2
