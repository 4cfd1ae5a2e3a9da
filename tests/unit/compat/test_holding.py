"""What modules answer to while the aliases are installed, however they are reached."""

import pytest

# The names of every table, read as attributes from `flax` alone.
READ_ALL = """
def all_names():
    from ramie.compat import attributes
    for path, names in attributes.ATTRIBUTES.items():
        for name in names:
            yield path, name
    for path, names in attributes._NNX_HOLDERS.items():
        for name in names.split():
            yield "flax.nnx." + path, name

def read(path):
    import functools, flax
    return functools.reduce(getattr, path.split(".")[1:], flax)
"""


@pytest.mark.parametrize(
    "first",
    ["flax", "flax.linen", "flax.nnx", "flax.core", "ramie.nnx.graph, flax", "ramie.linen.module"],
)
def test_every_name_is_reached_without_another_import(first, passes):
    passes(
        READ_ALL
        + f"""
import ramie.compat
ramie.compat.install()
import {first}
for path, name in all_names():
    assert hasattr(read(path), name), (path, name)
"""
    )


def test_names_are_there_where_the_modules_were_imported_before(passes):
    passes(
        READ_ALL
        + """
import ramie.compat, ramie.linen as nn, ramie.nnx.graph, ramie.nnx.transforms.autodiff
nn.Dense, ramie.nnx.Linear
assert not hasattr(nn.transforms, "errors")
ramie.compat.install()
for path, name in all_names():
    assert hasattr(read(path), name), (path, name)
ramie.compat.uninstall()
assert not hasattr(nn.transforms, "errors") and not hasattr(nn.module, "np")
assert nn.transforms.scan is nn.scan
"""
    )


def test_a_package_is_not_imported_whole_for_them(passes):
    passes(
        """
        import sys
        import ramie.compat
        ramie.compat.install()
        import flax.linen as nn
        heavy = ("ramie.linen.module", "ramie.linen.layers.conv", "ramie.linen.transforms")
        assert not [name for name in heavy if name in sys.modules]
        nn.Dense
        assert nn.module.traceback_util and "ramie.linen.transforms" not in sys.modules
        """
    )


def test_a_module_keeps_its_loader_and_runs_as_a_program(passes):
    passes(
        """
        import importlib, importlib.util, inspect, runpy
        import ramie.compat
        ramie.compat.install()
        import flax.core.lift as lift, flax.linen as nn
        assert importlib.util.find_spec("ramie.linen.module").loader.get_code("ramie.linen.module")
        assert "class Module" in inspect.getsource(nn.module)
        loaders = nn.module.__loader__, nn.module.__spec__.loader
        assert all(type(loader) is type(ramie.__loader__) for loader in loaders)
        assert runpy.run_module("ramie.linen.dtypes")["promote_dtype"]
        assert importlib.reload(nn.module) is nn.module
        assert nn.module.np and nn.module.Module
        """
    )


def test_a_name_that_is_nowhere_is_an_attribute_error(passes):
    passes(
        """
        import ramie.compat
        ramie.compat.install()
        import flax.linen as nn
        for module, where in (nn.module, "ramie.linen.module"), (nn.transforms, "transforms"):
            try:
                module.no_such_name
            except AttributeError as error:
                assert where in str(error) and error.name == "no_such_name"
                assert error.obj is module
            else:
                raise AssertionError(module)
        """
    )


def test_what_a_module_has_comes_before_what_its_counterpart_holds(passes):
    # States are asked for `traversals` while that module is being imported from there.
    passes(
        """
        import ramie.compat
        ramie.compat.install()
        import flax
        assert flax.nnx.graph.traversals is flax.nnx.traversals
        assert flax.nnx.traversals.empty_node is flax.nnx.statelib.traversals.empty_node
        """
    )
