"""Names of topologies, and meshes of their devices."""

import importlib.util
import math
import os
import subprocess
import sys

import pytest
from jax.sharding import AxisType

from ramie import errors
from ramie.training.plan import CHIPS, device_count, make_mesh, topologies
from ramie.training.plan.compiling import _TPU_ENVIRONMENT
from ramie.training.plan.topology import parse

ASK = """
import sys
from jax.experimental import topologies
for name in sys.argv[1:]:
    alone = set(name.partition(":")[2].split("x")) == {"1"}
    host = {"chips_per_host_bounds": (1, 1, 1)} if alone else {}
    described = topologies.get_topology_desc(platform="tpu", topology_name=name, **host)
    print(name, len(described.devices), described.devices[0].device_kind, sep=",")
"""


@pytest.mark.libtpu
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="no libtpu here")
def test_the_compiler_knows_each_name_and_counts_as_many_devices(tmp_path):
    environment = {**os.environ, **_TPU_ENVIRONMENT, "TPU_LOG_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ASK, *topologies(), "v5p:8x8x4", "v5e:32x32", "tpu7x:2x4x6"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split(",") for line in done.stdout.splitlines()]
    assert len(rows) == len(topologies()) + 3
    for name, devices, kind in rows:
        assert (device_count(name), parse(name).chip.kind) == (int(devices), kind), name


@pytest.mark.parametrize("chip", CHIPS.values(), ids=CHIPS)
def test_peaks_are_those_of_one_device(chip):
    assert chip.usable_bytes <= 1.01 * chip.hbm_bytes
    assert chip.source.startswith("https://") and chip.source.endswith(chip.name)
    # No chip does less with fewer bits.
    assert min(chip.flops.values()) == chip.flops["bfloat16"]


@pytest.mark.parametrize(
    "name",
    [
        *("", ":", "v5e", "v5e:", "v5e:2", "v5e:2x2x2", "v5p:2x2", "v5e:0x0", "v5e:2x-2"),
        *("v5e:02x2", "v5e:2x4:2x4", "v5p:3x2x1", "v5e:9998x9998", "v5e:1x2", "tpu:2x2", "V5E:2x2"),
        *("cpu", "cpu:", "cpu:0", "cpu:-1", "cpu:x", "cpu:999999", "cpu:1.5", "v5e:2x4\n"),
    ],
)
def test_other_names_are_refused_with_names_that_will_do(name):
    with pytest.raises(errors.UnknownTopologyError) as found:
        parse(name)
    assert found.value.name == name and repr(name) in str(found.value)
    assert found.value.known and all(parse(known) for known in found.value.known)


def test_a_mesh_takes_all_devices():
    mesh = make_mesh("v5p:8x8x4", {"data": -1, "model": 8})
    assert dict(mesh.shape) == {"data": 32, "model": 8}
    assert dict(make_mesh("tpu7x:2x2x1").shape) == {"data": 8}
    explicit = make_mesh("cpu:4", {"a": 2, "b": 2}, explicit=True)
    assert set(explicit.axis_types) == {AxisType.Explicit}


@pytest.mark.parametrize(
    "axes", [{"a": 3}, {"a": -1, "b": -1}, {"a": -1, "b": 3}, {"a": -8}, {"a": 2, "b": True}]
)
def test_a_mesh_that_does_not_fit_is_refused(axes):
    with pytest.raises(errors.PlanMeshError, match="a="):
        make_mesh("v5e:2x4", axes)
    assert math.prod(make_mesh("v5e:2x4", {"a": 8}).shape.values()) == 8
