"""Identities of what is in a tuple: equal for the same objects only, by either way to get them."""

from ramie.core.tracing import sameness


def test_equal_objects_differ_and_the_same_do_not():
    one, other = [1], [1]
    same = sameness.identities((one, 2, None))
    assert same == sameness.identities((one, 2, None))
    assert same != sameness.identities((other, 2, None))
    assert same != sameness.identities((2, one, None))
    assert sameness.identities(()) == b""


def test_both_ways_agree():
    items = (object(), 1, "a", (), None, True)
    assert sameness._addresses(items) == sameness._numbers(items) == sameness.identities(items)
