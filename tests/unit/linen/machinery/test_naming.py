"""How modules get their names and places, and what is shared."""

from collections import namedtuple
from typing import Any

import jax.numpy as jnp
import pytest
from tests.tolerance import assert_exact
from tests.unit.linen.sample_modules import KEY, Affine, Counter, X, shapes

import ramie.linen as nn
from ramie import config, errors, struct
from ramie.linen.machinery import adopt


def test_compact_modules_are_numbered_per_class():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            for width in (3, 4):
                x = Counter()(Affine(width)(x))
            return x

    assert shapes(Model().init(KEY, X)["params"]) == {
        "Affine_0": {"kernel": (2, 3)},
        "Affine_1": {"kernel": (3, 4)},
    }


def test_one_instance_called_twice_is_one_set_of_parameters():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            layer, count = Affine(2), Counter()
            return layer(layer(count(count(x))))

    variables = Model().init(KEY, X)
    assert list(variables["params"]) == ["Affine_0"]
    _, changed = Model().apply(variables, X, mutable="counter")
    assert changed["counter"]["Counter_0"]["n"] == 2


def test_setup_names_by_attribute_through_containers():
    class Model(nn.Module):
        def setup(self):
            self.one = Affine(1)
            self.many = [Affine(2), {"x": Affine(3), (1, 2): Affine(4)}, (Affine(5),)]
            self.alias = self.one
            self.named = Affine(6, name="other")

        def __call__(self, x):
            many = self.many
            return [m(x) for m in (self.one, many[0], *many[1].values(), *many[2], self.named)]

    assert shapes(Model().init(KEY, X)["params"]) == {
        "one": {"kernel": (2, 1)},
        "many_0": {"kernel": (2, 2)},
        "many_1_x": {"kernel": (2, 3)},
        "many_1_(1, 2)": {"kernel": (2, 4)},
        "many_2_0": {"kernel": (2, 5)},
        "other": {"kernel": (2, 6)},
    }


class Wrap(nn.Module):
    inner: Any

    def __call__(self, x):
        return self.inner(x)


def test_a_template_in_a_field_is_copied_and_never_changed():
    template = Affine(3)
    bound = Wrap(template).bind(Wrap(template).init(KEY, X))
    assert bound.inner.name == "inner"
    assert bound.inner.parent is bound
    assert template.name is None and template.scope is None and template.parent is None


def test_a_template_in_two_places_is_shared_at_the_first():
    class Both(nn.Module):
        a: Any
        b: Any

        def __call__(self, x):
            return self.a(x) + self.b(x)

        def only_b(self, x):
            return self.b(x)

    template = Affine(3)
    model = Both(Wrap(template), Wrap(template))
    variables = model.init(KEY, X)
    assert shapes(variables["params"]) == {"a": {"inner": {"kernel": (2, 3)}}}
    assert_exact(2 * model.apply(variables, X, method="only_b"), model.apply(variables, X))


def test_a_module_made_in_setup_and_passed_on_belongs_to_who_keeps_it():
    class Kept(nn.Module):
        def setup(self):
            self.layer = Affine(3)
            self.wrapped = Wrap(self.layer)

        def __call__(self, x):
            return self.wrapped(x)

    class Given(nn.Module):
        def setup(self):
            self.wrapped = Wrap(Affine(3))

        def __call__(self, x):
            return self.wrapped(x)

    assert shapes(Kept().init(KEY, X)["params"]) == {"layer": {"kernel": (2, 3)}}
    assert shapes(Given().init(KEY, X)["params"]) == {"wrapped": {"inner": {"kernel": (2, 3)}}}


@struct.dataclass
class Bundle:
    first: Any
    size: int = struct.field(pytree_node=False, default=1)


Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ([Affine(1), Affine(2)], ["inner_0", "inner_1"]),
        ({"b": Affine(1), "a": Affine(2)}, ["inner_a", "inner_b"]),
        (Pair(Affine(1), 7), ["inner_left"]),
        (Bundle(Affine(1)), ["inner_first"]),
    ],
    ids=["list", "dict", "namedtuple", "struct"],
)
def test_modules_in_containers_in_fields_are_adopted(value, names):
    class Model(nn.Module):
        inner: Any

        @nn.compact
        def __call__(self, x):
            found = []
            adopt.map_modules(self.inner, lambda module, _: found.append(module))
            return [module(x) for module in found]

    assert sorted(Model(value).init(KEY, X)["params"]) == names


def test_adopted_names_are_kept_on_request():
    class Keeps(Wrap):
        preserve_adopted_names = True

    named = Affine(2, name="mine")
    assert list(Wrap(named).init(KEY, X)["params"]) == ["inner"]
    assert list(Keeps(named).init(KEY, X)["params"]) == ["mine"]
    with config.temp_flip_flag("preserve_adopted_names", True):
        assert list(Wrap(named).init(KEY, X)["params"]) == ["mine"]


@pytest.mark.parametrize("order", [(None, "Affine_0"), ("Affine_0", None)])
def test_a_taken_name_is_an_error(order):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return [Affine(2, name=name)(x) for name in order]

    with pytest.raises(errors.NameInUseError, match='submodule "Affine_0" in Module Model'):
        Model().init(KEY, X)


def test_parameters_and_submodules_share_one_set_of_names():
    class Model(nn.Module):
        first: str

        @nn.compact
        def __call__(self, x):
            if self.first == "param":
                self.param("a", lambda key: 1)
                Affine(2, name="a")
            else:
                Affine(2, name="a")
                self.param("a", lambda key: 1)

    with pytest.raises(errors.NameInUseError, match='submodule "a"'):
        Model("param").init(KEY, X)
    with pytest.raises(errors.NameInUseError, match='param "a"'):
        Model("module").init(KEY, X)


def test_a_submodule_outside_setup_and_compact_is_an_error():
    class Model(nn.Module):
        def __call__(self, x):
            return Affine(2)(x)

    with pytest.raises(errors.AssignSubModuleError, match="Affine"):
        Model().init(KEY, X)


def test_compact_methods_calling_each_other_number_on():
    class Base(nn.Module):
        @nn.compact
        def __call__(self, x):
            return Affine(3)(x)

    class Derived(Base):
        @nn.compact
        def __call__(self, x):
            x = super().__call__(x)
            return Affine(4)(x)

    assert shapes(Derived().init(KEY, X)["params"]) == {
        "Affine_0": {"kernel": (2, 3)},
        "Affine_1": {"kernel": (3, 4)},
    }


def test_compact_name_scope_puts_a_method_under_its_name():
    class Model(nn.Module):
        @nn.compact_name_scope
        def up(self, x):
            return Affine(3)(x)

        @nn.compact
        def __call__(self, x):
            return self.up(x) + Affine(3)(x)

    variables = Model().init(KEY, X)
    assert shapes(variables["params"]) == {
        "up": {"Affine_0": {"kernel": (2, 3)}},
        "Affine_0": {"kernel": (2, 3)},
    }
    assert Model().apply(variables, X, method="up").shape == (1, 3)


def test_share_scope_with_an_own_child_and_with_a_foreign_module():
    class LoRA(nn.Module):
        inner: Affine

        def setup(self):
            nn.share_scope(self, self.inner)

        @nn.compact
        def __call__(self, x):
            return self.inner(x) + self.param("a", lambda key: jnp.zeros((1, 3)))

    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return LoRA(Affine(3))(x)

    assert sorted(LoRA(Affine(3)).init(KEY, X)["params"]) == ["a", "kernel"]
    assert sorted(Model().init(KEY, X)["params"]["Affine_0"]) == ["a", "kernel"]
    with pytest.raises(errors.CallShareScopeOnUnboundModuleError):
        nn.share_scope(Affine(1), Affine(2))


def test_a_clone_in_a_loop_is_a_new_module_each_time():
    class Model(nn.Module):
        template: Affine

        @nn.compact
        def __call__(self, x):
            for _ in range(2):
                x = self.template.copy()(x)
            return self.template.copy(name="last")(x)

    params = Model(Affine(2)).init(KEY, X)["params"]
    assert sorted(params) == ["Affine_0", "Affine_1", "last"]


def test_path_is_the_place():
    paths = []

    class Probe(nn.Module):
        def __call__(self):
            paths.append(self.path)

    class Model(nn.Module):
        @nn.compact
        def __call__(self):
            Wrap2(Probe(parent=None))()
            Probe(name="here")()

    class Wrap2(nn.Module):
        inner: Any

        def __call__(self):
            self.inner()

    Model().apply({})
    assert paths == [("Wrap2_0", "inner"), ("here",)]
