"""What new variables keep their values in, where nothing is said."""

import threading

import jax
import jax.numpy as jnp
import pytest

from ramie import nnx
from ramie.configurations import config
from ramie.nnx.variable import HijaxVariable, VarDefaults


def test_defaults_hold_for_a_with_block():
    with nnx.var_defaults(hijax=True, ref=False):
        with nnx.var_defaults(ref=True):
            assert dict(nnx.var_defaults()) == {"hijax": True, "ref": True}
            with nnx.var_defaults(hijax=False):
                assert nnx.Param(jnp.array(1)).ref and not nnx.Param(jnp.array(1)).hijax
        assert type(nnx.Param(1)) is HijaxVariable and not nnx.Param(1, hijax=False).hijax
        assert type(nnx.Rngs(0).default.key) is HijaxVariable
    assert repr(nnx.var_defaults()) == "VarDefaults(hijax=False, ref=False)"


def test_a_call_alone_sets_them_until_the_block_ends():
    with nnx.var_defaults(ref=False):
        nnx.var_defaults(ref=True)
        assert nnx.var_defaults().ref
    assert not nnx.var_defaults().ref


def test_decorated_functions_have_them_and_others_do_not():
    @nnx.var_defaults(hijax=True)
    def inside():
        return nnx.var_defaults()

    assert not nnx.var_defaults().hijax
    assert inside().hijax and not nnx.var_defaults().hijax


def test_they_are_a_mapping():
    defaults = nnx.var_defaults()
    assert isinstance(defaults, VarDefaults) and len(defaults) == 2 and list(defaults)[1] == "ref"
    with pytest.raises(KeyError, match="'hijax' and 'ref', not 'mutable'"):
        defaults["mutable"]


def test_flags_decide_where_nothing_is_set_and_threads_are_apart():
    with config.temp_flip_flag("array_ref", True):
        assert nnx.var_defaults().ref
        assert isinstance(nnx.Variable(1).get_raw_value(), jax.Ref)
    found = []
    with nnx.var_defaults(hijax=True):
        thread = threading.Thread(target=lambda: found.append(nnx.var_defaults().hijax))
        thread.start()
        thread.join()
    assert found == [False]
