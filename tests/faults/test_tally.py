"""The table at the end of `make faults` tells what was lost, wrong or undocumented."""

import pytest
from tests.faults import tally


@pytest.fixture
def clean(monkeypatch):
    """Count from zero, and leave the counts of the run alone."""
    monkeypatch.setattr(tally, "_injected", type(tally._injected)())
    monkeypatch.setattr(tally, "_outcomes", type(tally._outcomes)())


def failing(kind, error, wrong=tally.WRONG):
    with pytest.raises(type(error)), tally.fault(kind, wrong):
        raise error


def counts():
    return {line.split("  ")[0]: line.split()[-4:] for line in tally.lines()[1:]}


def test_what_fails_is_counted_and_still_fails(clean):
    with tally.fault("flips", times=3):
        pass
    failing("flips", AssertionError("it was read"))
    failing("flips", KeyError("x"))
    failing("kills", AssertionError("step 3 was lost"), tally.LOST)
    failing("kills", ValueError("it cannot be read"), tally.LOST)
    failing("inputs", tally.Undocumented("ZeroDivisionError"))
    assert counts() == {
        "flips": ["5", "0", "1", "1"],
        "inputs": ["1", "0", "0", "1"],
        "kills": ["2", "2", "0", "0"],
        "all": ["8", "2", "1", "2"],
    }


def test_a_check_of_pytest_that_does_not_hold_is_silently_wrong(clean):
    with pytest.raises(pytest.fail.Exception), tally.fault("flips"), pytest.raises(ValueError):
        pass
    assert counts()["flips"] == ["1", "0", "1", "0"]


def test_counts_of_several_processes_are_added(clean):
    failing("flips", AssertionError())
    tally.add(tally.page())
    assert counts()["flips"] == ["2", "0", "2", "0"]
