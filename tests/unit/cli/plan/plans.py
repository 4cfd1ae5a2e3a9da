"""Plans with numbers that are easy to recognise, as if a compiler had said them."""

import dataclasses

from ramie.training.plan import report
from ramie.training.plan.chips import CHIPS

MIB, GIB = 2**20, 2**30
PLAN = report.Plan(
    step="train_step",
    topology="v5e:4x4",
    simulated=False,
    chip=CHIPS["v5e"],
    devices=16,
    mesh={"data": 4, "model": 4},
    verdict="fits",
    collections=(
        report.Collection("params", 12, 6_738_415_616, 24 * GIB, GIB + GIB // 2),
        report.Collection("opt_state", 25, 13_476_831_233, 48 * GIB, 3 * GIB),
    ),
    memory=report.Memory(
        arguments=5 * GIB,
        outputs=4 * GIB + 256 * MIB,
        aliased=4 * GIB,
        temporaries=6 * GIB,
        code=32 * MIB,
        total=11 * GIB + 288 * MIB,
        available=16 * GIB,
    ),
    contributors=(report.Buffer(2 * GIB, "f32[1,2,3]", "params/table", "argument"),),
    work=report.Work(10**14, {"bfloat16": 10**14}, 40 * GIB),
    bound=report.Bound(0.508, "compute", 0.508, 0.0524, 0.0107),
    collectives=(
        report.Collective("all-gather", ("data",), 96, GIB, "Layer_0/up"),
        report.Collective("all-reduce", ("data", "model"), 2, GIB, "loss"),
    ),
    replicated=(
        report.Replicated("params/bias\x1b", "float32[4096]", 16384, ("model",), "lay 0 on model"),
    ),
    temporaries=(report.Buffer(3 * GIB, "bf16[8,512]", "Layer_0/up", "dot_general", "m.py:12"),),
    trace_seconds=1.5,
    compile_seconds=32.0,
    versions={"jax": "0.10.2", "libtpu": "0.0.42"},
)
LARGE = dataclasses.replace(
    PLAN,
    mesh={"data": 16, "model": 1},
    verdict="does not fit",
    memory=report.Memory(5 * GIB, None, None, None, None, 40 * GIB, 16 * GIB, exact=False),
    work=None,
    bound=None,
    collectives=(),
    replicated=(),
    temporaries=(),
    message="Ran out of memory in memory space hbm.\nmore",
)
SLOW = dataclasses.replace(
    PLAN, mesh={"data": 2, "model": 8}, bound=dataclasses.replace(PLAN.bound, seconds=0.9)
)
SIMULATED = dataclasses.replace(
    PLAN,
    topology="cpu:16",
    simulated=True,
    chip=None,
    verdict="unknown",
    bound=None,
    memory=dataclasses.replace(PLAN.memory, available=None),
    versions={"jax": "0.10.2"},
)
