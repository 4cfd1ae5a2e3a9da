"""The language model continues a text: with a cache as without one, and from a checkpoint."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_close

from ramie import nnx

pytest.importorskip("grain")
from examples.llm import meshes, sampling
from examples.llm.model import Transformer
from examples.llm.settings import Settings

SIZES = Settings(
    width=32, depth=2, heads=4, groups=2, hidden=48, length=16, batch=8, steps=2, warmup=1
)


@pytest.fixture(scope="module", autouse=True)
def one_device():
    with jax.set_mesh(meshes.make(meshes.sizes("", 1))), nnx.logical_axis_rules(meshes.RULES):
        yield


@pytest.fixture(scope="module")
def model(one_device):
    return Transformer(SIZES, rngs=nnx.Rngs(7))


@nnx.jit
def logits_of(model, tokens):
    return model(tokens)


@nnx.jit
def decoded(model, tokens, start):
    return model(tokens, start, sampling=True)


def tokens_of(seed, rows, length):
    return jnp.asarray(np.random.default_rng(seed).integers(0, 256, (rows, length)), jnp.int32)


@pytest.mark.parametrize("prefilled", [1, 7, 16])
def test_a_cache_gives_the_logits_of_the_whole_text(model, prefilled):
    """Four heads share two of keys and values, and positions turn them: both as without a cache."""
    tokens = tokens_of(0, 3, 16)
    whole = logits_of(model, tokens)
    cached = sampling.with_cache(SIZES, model, 3)
    assert_close(decoded(cached, tokens[:, :prefilled], 0), whole[:, :prefilled], "model")
    for at in range(prefilled, 16):
        found = decoded(cached, tokens[:, at : at + 1], jnp.asarray(at))
        assert_close(found[:, 0], whole[:, at], "model")


def test_layers_that_are_written_out_decode_alike(model):
    written = dataclasses.replace(SIZES, scan=False)
    other = Transformer(written, rngs=nnx.Rngs(7))
    tokens = tokens_of(1, 2, 5)
    cached = sampling.with_cache(written, other, 2)
    decoded(cached, tokens[:, :4], 0)
    found = decoded(cached, tokens[:, 4:], jnp.asarray(4))
    assert_close(found[:, 0], logits_of(model, tokens)[:, 4], "model")


def greedy(model, text, size):
    """Take the likeliest byte each time, without a cache; half a window where one is full."""
    window = text
    for _ in range(size):
        row = np.zeros((1, SIZES.length), np.int32)  # what comes later does not count
        row[0, : len(window)] = np.frombuffer(window, np.uint8)
        byte = int(np.argmax(logits_of(model, row)[0, len(window) - 1]))
        text, window = text + bytes([byte]), window + bytes([byte])
        if len(window) == SIZES.length:
            window = window[-SIZES.length // 2 :]
    return text


@pytest.mark.parametrize("prompt", [b"def f(", b"import os, sys, re, time"], ids=["short", "long"])
def test_without_a_temperature_the_likeliest_byte_is_taken(model, prompt):
    """Through more than one window: twelve bytes do not fit into what is left of the first."""
    [found] = sampling.sample(SIZES, model, prompt, size=21, temperature=0.0)
    assert found.startswith(prompt) and len(found) == len(prompt) + 21
    seen = prompt if len(prompt) < SIZES.length else prompt[-SIZES.length // 2 :]
    assert found[len(prompt) :] == greedy(model, seen, 21)[len(seen) :]


def test_choices_come_from_the_seed(model):
    one, other = sampling.sample(SIZES, model, b"abc", count=2, temperature=5.0)
    assert one != other and len(one) == SIZES.length
    assert sampling.sample(SIZES, model, b"abc", count=2, temperature=5.0) == [one, other]
    assert sampling.sample(SIZES, model, b"abc", count=2, temperature=5.0, seed=1)[0] != one


def test_a_byte_is_drawn_as_often_as_it_is_likely():
    """Of two candidates, one three times as likely as the other; the third is never drawn."""
    logits = jnp.log(jnp.array([[1.0, 3.0, 0.5]]))
    keys = jax.random.split(jax.random.key(0), 2000)
    draw = jax.jit(jax.vmap(lambda key: sampling.chosen(logits, key, 1.0, 2)[0, 0]))
    counts = np.bincount(np.asarray(draw(keys)), minlength=3)
    assert counts[2] == 0
    assert abs(counts[1] / 2000 - 0.75) < 0.04  # four standard deviations


def test_a_divided_model_samples_what_a_whole_one_does(model):
    """On a mesh that has more places for sequences than there are sequences."""
    devices = min(4, jax.device_count())
    whole = sampling.sample(SIZES, model, b"def f(", temperature=0.0)
    with jax.set_mesh(meshes.make(meshes.sizes(f"fsdp={devices}", devices))):
        divided = Transformer(SIZES, rngs=nnx.Rngs(7))
        assert sampling.sample(SIZES, divided, b"def f(", temperature=0.0) == whole


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt": b""}, "the prompt is empty"),
        ({"size": 0}, "the number of bytes is 0; give a whole number from 1 to"),
        ({"count": 0}, "the number of samples is 0"),
        ({"highest": 257}, "the top-k is 257; give a whole number from 1 to 256"),
        ({"highest": 0}, "the top-k is 0"),
        ({"temperature": -0.5}, "the temperature is -0.5; give a number from 0 on"),
        ({"temperature": float("nan")}, "the temperature is nan"),
        ({"seed": -1}, "the seed of the sample is -1"),
    ],
)
def test_what_cannot_be_sampled_is_refused(model, changes, said):
    prompt = changes.pop("prompt", b"abc")
    with pytest.raises(ValueError, match=said):
        sampling.sample(SIZES, model, prompt, **changes)


def test_bytes_that_are_no_text_can_be_shown():
    assert sampling.printable(b"a\xff\n").startswith("a") and sampling.printable(b"x\n") == "x\n"


def test_sequences_do_not_mix(model):
    tokens = tokens_of(2, 2, 6)
    cached = sampling.with_cache(SIZES, model, 2)
    decoded(cached, tokens, 0)
    alone = sampling.with_cache(SIZES, model, 1)
    decoded(alone, tokens[1:], 0)
    step = tokens_of(3, 2, 1)
    both = decoded(cached, step, jnp.asarray(6))
    assert_close(both[1:], decoded(alone, step[1:], jnp.asarray(6)), "model")
