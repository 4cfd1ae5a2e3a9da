"""The table of aliases, and the rule beside it."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ramie
from ramie.compat.aliases import ALIASES, is_aliased, target_of

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_default_rule_replaces_only_the_root(parts):
    name = ".".join(["flax", *parts])
    beneath_an_entry = any(name == alias or name.startswith(alias + ".") for alias in ALIASES)
    if not beneath_an_entry:
        assert target_of(name) == ".".join(["ramie", *parts])


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_an_entry_carries_what_lies_beneath_it(alias):
    assert target_of(alias) == ALIASES[alias]
    assert target_of(alias + ".part") == ALIASES[alias] + ".part"


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_every_entry_points_at_a_module_that_exists(alias):
    assert importlib.util.find_spec(ALIASES[alias]) is not None


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_no_entry_shadows_a_module_of_ours(alias):
    if alias.startswith("flax.") and alias != "flax.version":  # our version is not the peer's
        by_rule = Path(ramie.__path__[0]).joinpath(*alias.split(".")[1:])
        assert not by_rule.with_suffix(".py").exists() and not by_rule.is_dir()


@pytest.mark.parametrize("name", ["flaxlib", "flaxmodels.vgg", "ramie", "jax", "my.flax"])
def test_other_packages_are_left_alone(name):
    assert not is_aliased(name)


@pytest.mark.parametrize("name", ["flax", "flax_extra"])
def test_roots_have_no_counterpart(name):
    assert is_aliased(name) and target_of(name) is None
