"""The logical axis rules in force."""

import threading

from ramie.core import sharding

RULES = (("batch", "data"),)


def test_rules_hold_within_a_block_and_nest():
    assert sharding.get_logical_axis_rules() == ()
    with sharding.logical_axis_rules(RULES):
        with sharding.logical_axis_rules(()):
            assert sharding.get_logical_axis_rules() == ()
        assert sharding.get_logical_axis_rules() == RULES
    assert sharding.get_logical_axis_rules() == ()


def test_rules_end_with_an_error():
    try:
        with sharding.logical_axis_rules(RULES):
            raise KeyError
    except KeyError:
        pass
    assert sharding.get_logical_axis_rules() == ()


def test_threads_have_rules_of_their_own():
    found = []
    sharding.set_logical_axis_rules(RULES)
    try:
        thread = threading.Thread(target=lambda: found.append(sharding.get_logical_axis_rules()))
        thread.start()
        thread.join()
    finally:
        sharding.set_logical_axis_rules(())
    assert found == [()]
