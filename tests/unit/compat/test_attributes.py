"""Names that code finds in modules of Flax because those import them."""

from ramie.compat.lift_parts import CountsHolder, TransformContext


def test_every_name_is_there_and_gone_again(passes):
    passes(
        """
        import importlib
        import ramie.compat
        from ramie.compat.attributes import ATTRIBUTES
        ramie.compat.install()
        added = {}
        for path, names in ATTRIBUTES.items():
            module = importlib.import_module(path)
            for name in names:
                assert hasattr(module, name), (path, name)
            added[path] = module
        import flax, flax.linen as nn
        assert nn.module.nn is nn and flax.core.lift.traverse_util is flax.traverse_util
        assert flax.traverse_util.flax is flax
        ramie.compat.uninstall()
        for path, names in ATTRIBUTES.items():
            left = [name for name in names if name in vars(added[path])]
            assert not left, (path, left)
        """
    )


def test_names_are_set_on_modules_that_a_package_has_loaded(passes):
    passes(
        """
        import ramie.compat
        ramie.compat.install()
        import flax.linen as nn
        assert nn.transforms.errors.FlaxError
        """
    )


def test_types_are_imported_from_wherever_they_were_seen(passes):
    passes(
        """
        import ramie.compat
        ramie.compat.install()
        from flax.core.scope import Array, PRNGKey
        from flax.linen.normalization import Axes, Initializer, jnp
        from flax import typing
        assert (Array, Axes, Initializer) == (typing.Array, typing.Axes, typing.Initializer)
        import flax.core.scope as scope
        ramie.compat.uninstall()
        assert not hasattr(scope, "Array")
        """
    )


def test_private_names_that_other_projects_use(passes):
    passes(
        """
        import ramie.compat
        ramie.compat.install()
        from flax import linen as nn, serialization

        class Table(dict):
            pass

        serialization.register_serialization_state(
            Table, serialization._dict_state_dict, serialization._restore_dict
        )
        state = serialization.to_state_dict([Table(a=1)])
        assert state == {"0": {"a": 1}}
        assert serialization.from_state_dict([Table(a=0)], state) == [{"a": 1}]
        for kind in list(serialization._STATE_DICT_REGISTRY):
            if kind.__name__ == "Table":
                del serialization._STATE_DICT_REGISTRY[kind]
        assert not serialization.is_serializable(Table)

        class Where(nn.Module):
            def __call__(self):
                return nn.module._context.module_stack[-1].path

        class Outer(nn.Module):
            @nn.compact
            def __call__(self):
                return Where(name="inner")()

        assert Outer().apply({}) == ("inner",)
        assert nn.module._context.module_stack == [None]
        """
    )


def test_counts_holder_does_arithmetic_by_path():
    few = CountsHolder.make({"a": 1, "b": {"c": 2}})
    many = CountsHolder.make({"a": 3, "b": {"c": 5, "d": 1}, "e": {}})
    assert many.sub(few).unflat() == {"a": 2, "b": {"c": 3, "d": 1}}
    assert few.add(many).flat_d == {("a",): 4, ("b", "c"): 7}


def test_transform_context_nests():
    context = TransformContext()
    with context.push(1), context.push(2):
        assert context.get() == 2
    assert context.stack == []


def test_types_of_paths_are_where_annotations_look_for_them(passes):
    passes(
        """
        import ramie.compat
        ramie.compat.install()
        from flax import nnx, typing
        for room in (nnx.graph, nnx.graphlib, nnx.statelib):
            assert (room.Key, room.PathParts) == (typing.Key, typing.PathParts)
        assert nnx.filterlib.Key is nnx.rnglib.Key is typing.Key
        """
    )
