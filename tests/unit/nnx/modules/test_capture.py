"""Values from inside: sow, perturb and capture, across transformations, and nothing left behind."""

import jax
import jax.numpy as jnp
import pytest

from ramie import errors, nnx
from ramie.configurations import config


class Scale(nnx.Module):
    def __init__(self):
        self.weight = nnx.Param(jnp.array(3.0))

    def __call__(self, x):
        x = self.perturb("before", x)
        y = self.scaled(x)
        self.sow(nnx.Intermediate, "after", y)
        return y

    def scaled(self, x):
        return self.weight[...] * x


class Twice(nnx.Module):
    def __init__(self):
        self.inner = nnx.List([Scale(), Scale()])

    def __call__(self, x):
        return self.inner[1](self.inner[0](x))


def test_each_kind_has_a_state_and_modules_keep_nothing():
    model = Twice()
    before = nnx.graphdef(model)
    y, perturbations, sown = nnx.capture(model, nnx.Perturbation, nnx.Intermediate)(2.0)
    assert float(y) == 18.0
    assert sown.flat_state().paths == (("inner", 0, "after"), ("inner", 1, "after"))
    assert [float(x[0]) for x in nnx.to_pure_dict(sown)["inner"][0].values()] == [6.0]
    assert perturbations.flat_state().paths == (("inner", 0, "before"), ("inner", 1, "before"))
    assert nnx.graphdef(model) == before


def test_modules_hold_what_is_collected_while_capture_runs():
    class Watches(nnx.Module):
        def __call__(self, x):
            seen.append([(type(v), dict(v.get_value())) for v in self.__captures__])
            self.sow(nnx.Intermediate, "x", x)
            seen.append([(type(v), dict(v.get_value())) for v in self.__captures__])

    seen = []
    model = Watches()
    nnx.capture(model, nnx.Intermediate)(1.0)
    assert seen == [[(nnx.Intermediate, {})], [(nnx.Intermediate, {"x": (1.0,)})]]
    assert not hasattr(model, "__captures__")


def test_a_kind_takes_those_derived_from_it_unless_another_came_first():
    _, both, nothing = nnx.capture(Scale(), nnx.Intermediate, nnx.Perturbation)(1.0)
    assert sorted(both) == ["after", "before"] and not len(nothing)
    _, sown = nnx.capture(Scale(), nnx.Intermediate)(1.0)
    assert list(sown) == ["after"]
    assert nnx.capture(Scale())(2.0) == 6.0


def test_derivatives_of_values_inside():
    model = Twice()
    _, zeros = nnx.capture(model, nnx.Perturbation)(2.0)

    def loss(model, perturbations):
        return nnx.capture(model, nnx.Intermediate, init=perturbations)(2.0)

    gradients, sown = nnx.grad(loss, argnums=1, has_aux=True)(model, zeros)
    assert nnx.to_pure_dict(gradients) == {"inner": {0: {"before": 9.0}, 1: {"before": 3.0}}}
    assert float(sown["inner"][1]["after"][...][0]) == 18.0


@pytest.mark.parametrize("graph", [True, False])
def test_what_is_sown_under_jit_comes_out(graph):
    @nnx.jit(graph=graph, graph_updates=graph)
    def inner(model, x):
        return model(x)

    y, sown = nnx.capture(inner, nnx.Intermediate)(Twice(), jnp.array(1.0))
    assert float(y) == 9.0 and float(sown["inner"][0]["after"][...][0]) == 3.0


def test_functions_methods_and_decorators():
    model = Scale()
    for function, args in [
        (model, ()),
        (model.__call__, ()),
        (lambda model, x: model(x), (model,)),
        (lambda models, x: models["a"](x), ({"a": model},)),
    ]:
        y, sown = nnx.capture(function, nnx.Intermediate)(*args, 1.0)
        assert y == 3.0 and sown.flat_state().paths[0][-1] == "after"

    @nnx.capture(nnx.Intermediate)
    def run(model, x):
        return model(x)

    assert list(run(model, 1.0)[1]) == ["after"]
    with pytest.raises(TypeError, match="no module to look at"):
        run(1.0)


def test_outputs_of_methods_are_sown_while_capturing_only():
    model = Twice()
    _, found = nnx.capture(model, nnx.Intermediate, method_outputs=nnx.Intermediate)(1.0)
    assert found["__call__"].get_value() == (9.0,)
    assert found["inner"][0]["scaled"].get_value() == (3.0,)
    assert found["inner"][1]["after"].get_value() == (9.0,)
    assert "watch" not in repr(Scale.__call__) and Scale.scaled.__qualname__ == "Scale.scaled"
    _, found = nnx.capture(model, nnx.Intermediate)(1.0)
    assert "__call__" not in found


def test_inherited_methods_count_once_and_odd_outputs_are_left_out():
    class Named(Scale):
        def __call__(self, x):
            self.label()
            list(self.parts())
            return super().__call__(x)

        def label(self):
            return "a label"

        def parts(self):
            yield 1

    _, found = nnx.capture(Named(), nnx.Cache, method_outputs=nnx.Cache)(1.0)
    assert sorted(found) == ["__call__", "scaled"]
    assert len(found["__call__"].get_value()) == 1


def test_captures_within_captures_and_after_errors():
    model = Scale()

    def outer(model, x):
        model(x)
        _, inner = nnx.capture(model, nnx.Intermediate)(2 * x)
        return inner

    inner, sown = nnx.capture(outer, nnx.Intermediate)(model, 1.0)
    assert inner["after"].get_value() == (6.0,) and sown["after"].get_value() == (3.0,)

    def failing(model):
        model(1.0)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        nnx.capture(failing, nnx.Intermediate)(model)
    assert list(vars(model)) == ["weight"]


def test_containers_that_are_modules_sow():
    class Rows(nnx.List):
        def __call__(self):
            self.sow(nnx.Intermediate, "length", len(self))

    class Table(nnx.Dict):
        def __call__(self):
            self.sow(nnx.Intermediate, "names", list(self), init_fn=list, reduce_fn=lambda a, b: b)

    assert nnx.capture(Rows([1, 2]), nnx.Intermediate)()[1]["length"].get_value() == (2,)
    assert nnx.capture(Table(a=1), nnx.Intermediate)()[1]["names"].get_value() == ["a"]


def test_without_capture_values_become_attributes():
    model = Scale()
    model(1.0)
    model(2.0)
    assert model.after.get_value() == (3.0, 6.0) and float(model.before[...]) == 0.0
    popped = nnx.pop(model, nnx.Intermediate)
    assert sorted(popped) == ["after", "before"]
    model.after = 3
    with pytest.raises(ValueError, match="to be a Variable, got int"):
        model(1.0)


def test_kinds_by_name():
    class Net(nnx.Module):
        def __call__(self, x):
            self.sow("intermediates", "a", x)
            return self.perturb("b", x, "perturbations")

    _, found, zeros = nnx.capture(Net(), nnx.Perturbation, nnx.Intermediate)(1.0)[0:3]
    assert list(found) == ["b"] and list(zeros) == ["a"]


def test_modules_from_outside_of_a_transformation_are_refused():
    model = Scale()
    with pytest.raises(errors.TraceContextError):
        jax.make_jaxpr(lambda x: nnx.capture(model, nnx.Intermediate)(x))(1.0)


class Recorder(nnx.Module):
    """Sows and perturbs with the same setting."""

    def __init__(self, capture_noop):
        self.capture_noop = capture_noop

    def __call__(self, x):
        self.sown = self.sow(nnx.Intermediate, "h", x, capture_noop=self.capture_noop)
        return self.perturb("p", x, capture_noop=self.capture_noop)


@pytest.mark.parametrize("flag", [False, True])
@pytest.mark.parametrize("capture_noop", [None, False, True])
def test_nothing_is_kept_outside_of_capture_if_so_wanted(flag, capture_noop):
    model = Recorder(capture_noop)
    with config.temp_flip_flag("nnx_sow_capture_noop", flag):
        assert model(1.0) == 1.0
        kept = not (flag if capture_noop is None else capture_noop)
        assert model.sown is kept
        assert hasattr(model, "h") is kept and hasattr(model, "p") is kept
        model = Recorder(capture_noop)
        _, found = nnx.capture(model, nnx.Intermediate)(1.0)
        assert model.sown and found["h"].get_value() == (1.0,)
        zeros = nnx.State({"p": nnx.Perturbation(0.5)})
        assert nnx.capture(model, init=zeros)(1.0) == 1.5
        assert not hasattr(model, "h") and not hasattr(model, "p")


def test_lists_are_passed_over():
    class Holder(nnx.Module):
        def __init__(self):
            self.parts = nnx.List([Recorder(None), jnp.ones(3)])

        def __call__(self, x):
            seen.append((list(vars(self.parts)), jax.tree.structure(self.parts[1:]).num_leaves))
            self.parts.append(jnp.zeros(2))
            self.parts.pop()
            return self.parts[0](x)

    seen = []
    _, found = nnx.capture(Holder(), nnx.Intermediate, method_outputs=nnx.Intermediate)(1.0)
    assert seen == [(["0", "1"], 1)]
    assert found.flat_state().paths == (
        ("__call__",),
        ("parts", 0, "__call__"),
        ("parts", 0, "h"),
    )
