"""The table of flags, the environment, and changes while a program runs."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramie import configurations
from ramie.configurations import (
    FLAGS,
    Config,
    bool_flag,
    choice_flag,
    config,
    define_bool_state,
    int_flag,
    static_bool_env,
    static_int_env,
)


@pytest.fixture
def scratch(monkeypatch):
    """A registry of flags that the test may add to."""
    values = dict(config._values)
    monkeypatch.setattr(config, "_values", values)
    monkeypatch.setattr(configurations, "_KINDS", dict(configurations._KINDS))
    before = set(vars(Config))
    yield values
    for name in set(vars(Config)) - before:
        delattr(Config, name)


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_each_flag_of_the_table_is_an_attribute_with_a_holder(flag):
    assert getattr(config, flag.name) == flag.default
    holder = getattr(configurations, flag.name)
    assert holder.name == flag.name
    assert holder.value == flag.default
    assert flag.effect in holder.__doc__
    assert flag.name in Config.__annotations__, "declared, so that type checkers know it"


def test_no_flag_is_declared_that_the_table_lacks():
    declared = {name for name in Config.__annotations__ if not name.startswith("_")}
    assert declared == {flag.name for flag in FLAGS}


def test_a_value_is_read_from_the_instance_itself():
    """Hot paths read flags: no property, no dictionary behind it."""
    assert vars(config)["flax_profile"] is config.flax_profile
    assert not hasattr(Config, "__getattr__")
    assert not hasattr(configurations.flax_profile, "__set__")


def test_update_takes_a_name_a_short_name_or_a_holder(scratch):
    config.update("flax_return_frozendict", True)
    assert scratch["flax_return_frozendict"] is True
    config.update("return_frozendict", False)
    assert scratch["flax_return_frozendict"] is False
    config.update(configurations.flax_return_frozendict, 1)
    assert scratch["flax_return_frozendict"] is True


@pytest.mark.parametrize("name", ["unknown", "_values", "update", "flax_unknown", ""])
def test_what_is_no_flag_cannot_be_changed(name):
    with pytest.raises(LookupError, match="Unrecognized config option"):
        config.update(name, True)
    with pytest.raises(LookupError), config.temp_flip_flag(name, True):
        pass


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flax_profile", "yes"),
        ("flax_profile", None),
        ("flax_profile", 2),
        ("flax_max_repr_depth", 1.5),
        ("flax_max_repr_depth", True),
        ("flax_max_repr_depth", "3"),
        ("ramie_compiled_layers", "some"),
        ("ramie_compiled_layers", True),
    ],
)
def test_a_flag_takes_only_its_own_kind_of_value(name, value):
    before = getattr(config, name)
    with pytest.raises(TypeError, match=name):
        config.update(name, value)
    assert getattr(config, name) == before


def test_assignment_is_refused_and_says_how_it_is_done():
    with pytest.raises(AttributeError, match=r"config\.update\('flax_profile', False\)"):
        config.flax_profile = False
    assert config.flax_profile is True


def test_an_unknown_flag_cannot_be_read():
    with pytest.raises(AttributeError):
        config.flax_unknown  # noqa: B018


@pytest.mark.parametrize("name", ["flax_return_frozendict", "return_frozendict", "nnx_graph_mode"])
def test_a_flag_flips_for_a_block_and_back_also_on_errors(name):
    full = name if name.startswith(("flax", "nnx")) else f"flax_{name}"
    before = getattr(config, full)
    with pytest.raises(ZeroDivisionError), config.temp_flip_flag(name, not before):
        assert getattr(config, full) is not before
        1 / 0  # noqa: B018
    assert getattr(config, full) is before


def test_new_flags_are_defined_once(scratch):
    holder = bool_flag("flax_fresh", default=True, help="Something new.")
    assert config.flax_fresh is True and holder.value is True
    config.update(holder, False)
    assert config.flax_fresh is False
    with pytest.raises(RuntimeError, match="already defined"):
        bool_flag("flax_fresh", default=True, help="Again.")
    assert int_flag("flax_depth", default=None, help="A number.").value is None
    assert define_bool_state("older", True, "Documented spelling.").name == "flax_older"
    assert config.flax_older is True


def test_a_holder_has_no_truth_value():
    with pytest.raises(TypeError, match=r"flax_profile\.value"):
        bool(configurations.flax_profile)


def test_repr_lists_every_flag():
    text = repr(config)
    assert all(f"{flag.name}={flag.default!r}" in text for flag in FLAGS)
    assert eval(text.replace("Config", "dict")) == {flag.name: flag.default for flag in FLAGS}


@given(st.sampled_from(["y", "yes", "t", "true", "on", "1", "n", "no", "f", "false", "off", "0"]))
def test_truth_values_in_the_environment(word):
    with pytest.MonkeyPatch.context() as patch:
        for text in (word, word.upper(), word.title()):
            patch.setenv("RAMIE_TEST_FLAG", text)
            expected = word in ("y", "yes", "t", "true", "on", "1")
            assert static_bool_env("RAMIE_TEST_FLAG", not expected) is expected


@given(st.integers())
def test_numbers_in_the_environment(number):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAMIE_TEST_FLAG", str(number))
        assert static_int_env("RAMIE_TEST_FLAG", None) == number


def test_nonsense_in_the_environment_is_refused_by_name(monkeypatch):
    assert static_bool_env("RAMIE_TEST_FLAG", True) is True
    assert static_int_env("RAMIE_TEST_FLAG", 7) == 7
    for text in ("", "2", "maybe", " 1"):
        monkeypatch.setenv("RAMIE_TEST_FLAG", text)
        with pytest.raises(ValueError, match="RAMIE_TEST_FLAG"):
            static_bool_env("RAMIE_TEST_FLAG", True)
    for text in ("", "x", "1.5"):
        monkeypatch.setenv("RAMIE_TEST_FLAG", text)
        with pytest.raises(ValueError, match="RAMIE_TEST_FLAG"):
            static_int_env("RAMIE_TEST_FLAG", None)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"FLAX_RETURN_FROZENDICT": "1"}, "True None True"),
        ({"RAMIE_RETURN_FROZENDICT": "1", "FLAX_RETURN_FROZENDICT": "0"}, "True None True"),
        ({"RAMIE_MAX_REPR_DEPTH": "3", "NNX_GRAPH_MODE": "off"}, "False 3 False"),
        ({"RAMIE_NNX_GRAPH_MODE": "false", "NNX_GRAPH_MODE": "true"}, "False None False"),
        ({"RAMIE_COMPILED_LAYERS": "all"}, "False None True all"),
    ],
)
def test_a_program_starts_with_the_flags_of_its_environment(environment, expected):
    code = (
        "from ramie import config as c; "
        "words = {'proven': ()}.get(c.ramie_compiled_layers, (c.ramie_compiled_layers,)); "
        "print(c.flax_return_frozendict, c.flax_max_repr_depth, c.nnx_graph_mode, *words)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == expected


def test_words_in_the_environment_are_checked(monkeypatch, scratch):
    monkeypatch.setenv("RAMIE_MOOD", "sunny")
    assert choice_flag("ramie_mood", choices=("sunny", "grey"), default="grey", help="-").value
    assert config.ramie_mood == "sunny"
    with config.temp_flip_flag("mood", "grey"):
        assert config.ramie_mood == "grey"
    monkeypatch.setenv("RAMIE_SKY", "green")
    with pytest.raises(ValueError, match=r"RAMIE_SKY is 'green'.*blue, black"):
        choice_flag("ramie_sky", choices=("blue", "black"), default="blue", help="-")


def test_the_package_hands_out_the_one_object():
    import ramie

    assert ramie.config is config
