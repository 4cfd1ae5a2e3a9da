"""What is printed of plans."""

import dataclasses

import pytest
from tests.unit.cli.plan.plans import GIB, LARGE, MIB, PLAN, SIMULATED, SLOW

from ramie.cli.plan import report
from ramie.cli.plan.report import Row


def lines(capsys):
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_a_plan_says_everything(capsys):
    report.print_plan(PLAN)
    assert lines(capsys) == [
        "train_step on v5e:4x4: TPU v5 lite, 16 devices, data=4,model=4",
        "",
        "memory a device of the chip",
        "arguments 5.0 GiB 31.2 %",
        "outputs 256.0 MiB 1.6 % and 4.0 GiB in place of arguments",
        "temporaries 6.0 GiB 37.5 %",
        "code 32.0 MiB 0.2 %",
        "total 11.3 GiB 70.5 %",
        "fits: 4.7 GiB of 16.0 GiB are left",
        "",
        "arguments arrays elements in all a device",
        "params 12 6.74 G 24.0 GiB 1.5 GiB",
        "opt_state 25 13.5 G 48.0 GiB 3.0 GiB",
        "",
        "a step, on a device takes at least",
        "products 100 T FLOP 508 ms",
        "memory traffic 40.0 GiB 52.4 ms",
        "collectives 2.0 GiB 10.7 ms",
        "a step takes at least 508 ms, bound by compute",
        "",
        "collectives over count bytes largest in",
        "all-gather data 96 1.0 GiB Layer_0/up",
        "all-reduce data, model 2 1.0 GiB loss",
        "",
        "could be divided shape bytes copied along how",
        "params/bias\\x1b float32[4096] 16.0 KiB model lay 0 on model",
        "",
        "largest temporaries bytes shape made by at",
        "Layer_0/up 3.0 GiB bf16[8,512] dot_general m.py:12",
        "",
        "traced in 1.50 s, compiled in 32.0 s by jax 0.10.2, libtpu 0.0.42",
    ]


def test_what_does_not_fit_says_how_much_is_lacking_and_to_whom_it_goes(capsys):
    report.print_plan(LARGE)
    shown = lines(capsys)
    assert shown[2:9] == [
        "memory a device of the chip",
        "arguments 5.0 GiB 31.2 %",
        "not named 35.0 GiB 218.8 %",
        "total 40.0 GiB 250.0 %",
        "does not fit: 24.0 GiB are lacking, 40.0 GiB of 16.0 GiB",
        "Ran out of memory in memory space hbm.",
        "",
    ]
    assert "params/table 2.0 GiB f32[1,2,3] argument" in shown


def test_simulated_devices_are_told_apart(capsys):
    report.print_plan(SIMULATED)
    shown = lines(capsys)
    assert shown[0] == "train_step on cpu:16: 16 devices, data=4,model=4"
    assert shown[1].startswith("Simulated on CPU devices: ")
    assert "unknown: the memory of simulated devices has no size" in shown
    assert "arguments 5.0 GiB" in shown
    assert "products 100 T FLOP 100 T bfloat16" in shown
    assert not any("at least" in line or "%" in line for line in shown)


@pytest.mark.parametrize(
    ("counted", "said"),
    [
        ({"unknown_loops": 2}, "2 loops of unknown length were counted as if they ran once"),
        ({"choices": 1}, "of 1 choice by cond or switch all branches were counted"),
    ],
)
def test_what_was_counted_too_low_or_too_high_is_told(capsys, counted, said):
    plan = dataclasses.replace(PLAN, work=dataclasses.replace(PLAN.work, **counted))
    report.print_plan(plan)
    assert any(line.startswith(said) for line in lines(capsys))
    report.print_sweep([Row(PLAN.mesh, PLAN), Row(plan.mesh, plan)])
    assert lines(capsys)[-1].startswith(said)


def test_kernels_that_were_not_counted_are_told(capsys):
    works = [
        dataclasses.replace(PLAN.work, unknown_calls=calls)
        for calls in ({"my_matmul": 24, "Cholesky": 1}, {"my_matmul": 48})
    ]
    plans = [dataclasses.replace(PLAN, work=work) for work in works]
    said = "not counted, since XLA does not know it: the work of my_matmul ({} calls), "
    said += "Cholesky (1 call). A step may take longer"
    report.print_plan(plans[0])
    assert said.format(24) in lines(capsys)
    report.print_sweep([Row(plan.mesh, plan) for plan in plans])
    assert lines(capsys)[-1] == said.format(48)
    assert plans[0].as_dict()["work"]["unknown_calls"] == {"my_matmul": 24, "Cholesky": 1}


def test_of_a_long_list_the_largest_are_shown(capsys):
    report.print_plan(dataclasses.replace(PLAN, replicated=PLAN.replicated * 12))
    shown = lines(capsys)
    assert sum(line.startswith("params/bias") for line in shown) == 10
    assert "and 2 more; --json has them all" in shown


def test_nothing_is_said_of_nothing(capsys):
    plan = dataclasses.replace(PLAN, collections=(), collectives=(), replicated=(), temporaries=())
    report.print_plan(plan)
    shown = lines(capsys)
    assert "collectives 0 B 10.7 ms" in shown
    for head in ("arguments arrays", "collectives over", "could be", "largest"):
        assert not any(line.startswith(head) for line in shown)


@pytest.mark.parametrize("plan", [PLAN, LARGE, SLOW, SIMULATED])
def test_parts_sum_up_to_the_total(plan):
    assert sum(report.parts(plan.memory).values()) == plan.memory.total


ROWS = [
    Row({"data": 16, "model": 3}, None, "3 does not divide\x1b"),
    Row(LARGE.mesh, LARGE),
    Row(SLOW.mesh, SLOW),
    Row(PLAN.mesh, PLAN),
]


def test_meshes_that_fit_come_first_then_the_quickest():
    expected = [ROWS[3], ROWS[2], ROWS[1], ROWS[0]]
    assert report.sorted_rows(ROWS) == report.sorted_rows(ROWS[::-1]) == expected


def test_of_meshes_that_do_not_fit_the_one_that_lacks_least_comes_first():
    less = dataclasses.replace(LARGE, memory=dataclasses.replace(LARGE.memory, total=20 * GIB))
    rows = [Row(LARGE.mesh, LARGE), Row({"data": 8}, less)]
    assert report.sorted_rows(rows) == rows[::-1]


def test_without_a_time_the_smallest_comes_first():
    less = dataclasses.replace(
        SIMULATED, memory=dataclasses.replace(SIMULATED.memory, total=10 * MIB)
    )
    rows = [Row({"data": 8}, SIMULATED), Row({"data": 4}, less)]
    assert report.sorted_rows(rows) == rows[::-1]


def test_a_sweep_is_a_line_for_each_mesh(capsys):
    report.print_sweep(report.sorted_rows(ROWS))
    assert lines(capsys) == [
        "mesh verdict total left arguments temporaries at least bound by collectives",
        "data=4,model=4 fits 11.3 GiB 4.7 GiB 5.0 GiB 6.0 GiB 508 ms compute 2.0 GiB",
        "data=2,model=8 fits 11.3 GiB 4.7 GiB 5.0 GiB 6.0 GiB 900 ms compute 2.0 GiB",
        "data=16,model=1 does not fit 40.0 GiB -24.0 GiB 5.0 GiB",
        "data=16,model=3 impossible",
        "data=16,model=3: 3 does not divide\\x1b",
    ]


def test_a_sweep_of_simulated_devices_says_so(capsys):
    report.print_sweep([Row(SIMULATED.mesh, SIMULATED)])
    shown = lines(capsys)
    assert shown[0] == "mesh verdict total arguments temporaries collectives"
    assert shown[2].startswith("Simulated on CPU devices: ")
