"""Meshes and sweeps as they are typed."""

import argparse

import pytest

from ramie.cli.plan import meshes


@pytest.mark.parametrize(
    ("text", "axes"),
    [
        ("data=32,model=8", {"data": 32, "model": 8}),
        ("model=8", {"model": 8}),
        (" data = * , model=8 ", {"data": meshes.REST, "model": 8}),
        ("data=4,model=-1", {"data": 4, "model": meshes.REST}),
    ],
)
def test_a_mesh_is_axes_with_sizes_in_their_order(text, axes):
    assert list(meshes.mesh(text).items()) == list(axes.items())
    assert meshes.mesh(meshes.described(axes)) == axes


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must be axes with their sizes"),
        ("data", "must be axes with their sizes"),
        ("data=2,", "must be axes with their sizes"),
        ("2=data", "must be axes with their sizes"),
        ("data=2;model=4", "says '2;model=4'"),
        ("data=", "says ''"),
        ("data=0", "at least 1"),
        ("data=-2", "at least 1"),
        ("data=1.5", "at least 1"),
        ("data=1_0", "at least 1"),
        ("data=\N{ARABIC-INDIC DIGIT THREE}", "at least 1"),
        (f"data={'9' * 5000}", "at least 1"),
        ("data=2,data=4", "names the axis 'data' twice"),
        ("data=*,model=*", "only one axis can take what is left"),
    ],
)
def test_what_is_no_mesh(text, problem):
    with pytest.raises(argparse.ArgumentTypeError, match=problem.replace("*", r"\*")):
        meshes.mesh(text)


@pytest.mark.parametrize(
    "text", ["", "model", "model=", "model=1,,2", "=1,2", "model=1,*", "a b=1"]
)
def test_what_is_no_sweep(text):
    with pytest.raises(argparse.ArgumentTypeError):
        meshes.sweep(text)


def test_sizes_of_a_sweep_are_tried_once():
    assert meshes.sweep("model=4,1, 2,4") == ("model", (4, 1, 2))


def test_what_is_left_goes_to_one_axis():
    assert meshes.complete({"data": meshes.REST, "model": 4}, 8) == {"data": 2, "model": 4}
    assert meshes.complete({"data": 2, "model": 4}, 8) == {"data": 2, "model": 4}
    with pytest.raises(ValueError, match="makes 8 devices, but the topology has 16; data="):
        meshes.complete({"data": 2, "model": 4}, 16)
    with pytest.raises(ValueError, match="3 does not divide the 8 devices"):
        meshes.complete({"data": meshes.REST, "model": 3}, 8)


@pytest.mark.parametrize(
    ("axes", "sweeps", "expected"),
    [
        # The first axis that is not swept takes what is left, unless another one says so.
        ({"data": 8}, [("model", (1, 2))], [{"data": 8, "model": 1}, {"data": 4, "model": 2}]),
        ({"data": 4, "model": 2}, [("model", (8,))], [{"data": 1, "model": 8}]),
        (
            {"data": 2, "fsdp": meshes.REST, "model": 2},
            [("model", (1, 4))],
            [{"data": 2, "fsdp": 4, "model": 1}, {"data": 2, "fsdp": 1, "model": 4}],
        ),
        ({"data": meshes.REST}, [("data", (8,))], [{"data": 8}]),
        # Of axes that are all swept, those combinations that are as many devices.
        (
            {},
            [("data", (1, 2, 8)), ("model", (1, 4))],
            [{"data": 2, "model": 4}, {"data": 8, "model": 1}],
        ),
    ],
)
def test_a_sweep_is_meshes_of_all_devices(axes, sweeps, expected):
    found = meshes.variants(axes, sweeps, 8)
    assert [list(mesh.items()) for mesh in found] == [list(mesh.items()) for mesh in expected]


@pytest.mark.parametrize(
    ("axes", "sweeps", "problem"),
    [
        ({"data": 8}, [("model", (1, 3))], "data=*,model=3 cannot be: 3 does not divide the 8"),
        ({}, [("data", (3,))], "no combination makes the 8 devices"),
        ({"data": 8}, [("model", (1,)), ("model", (2,))], "the axis 'model' is swept twice"),
    ],
)
def test_a_sweep_that_cannot_be(axes, sweeps, problem):
    with pytest.raises(ValueError) as caught:
        meshes.variants(axes, sweeps, 8)
    assert problem in str(caught.value)
