"""Functions that read something from outside, each with a way to change it under them."""

import functools
import os
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np

from ramie import nnx

SCALE = 1.0  # a global that functions of some tests read


class Counter(nnx.Module):
    def __init__(self, value=0.0, step=1):
        self.value = nnx.Variable(jnp.array(value))
        self.step = step


class Settings:
    """Something that functions may read, and that changes without being another object."""

    rate = 1.0


def _reads_closure(box):
    scale = box[0]

    def change(value):
        nonlocal scale
        scale = value

    def f(model):
        model.value[...] += scale

    return f, change


def _reads_global(box):
    def change(value):
        global SCALE
        SCALE = value

    def f(model):
        model.value[...] += SCALE

    return f, change


def _reads_global_inside(box):
    def change(value):
        global SCALE
        SCALE = value

    def f(model):
        model.value[...] += next(SCALE for _ in range(1))

    return f, change


def _reads_list(box):
    def f(model):
        model.value[...] += box[0]

    return f, lambda value: box.__setitem__(0, value)


def _reads_dictionary(box):
    settings = {"rates": {"first": box[0]}}

    def f(model):
        model.value[...] += settings["rates"]["first"]

    return f, lambda value: settings["rates"].update(first=value)


def _reads_variable(box):
    variable = nnx.Variable(jnp.array(box[0]))

    def f(model):
        model.value[...] += variable[...]

    return f, lambda value: variable.set_value(jnp.array(value))


def _reads_model(box):
    other = Counter(box[0])

    def f(model):
        model.value[...] += other.value[...]

    return f, lambda value: other.value.set_value(jnp.array(value))


def _reads_numpy(box):
    array = np.array(box[0], np.float32)

    def f(model):
        model.value[...] += array

    return f, lambda value: array.fill(value)


def _reads_object(box):
    settings = Settings()
    settings.rate = box[0]

    def f(model):
        model.value[...] += settings.rate

    return f, lambda value: setattr(settings, "rate", value)


def _reads_default(box):
    def f(model, scale=box[0]):
        model.value[...] += scale

    return f, lambda value: setattr(f, "__defaults__", (value,))


def _calls_another(box):
    inner, change = _reads_closure(box)

    def f(model):
        inner(model)

    return f, change


def _is_partial(box):
    inner, change = _reads_closure(box)
    return functools.partial(inner), change


def _is_method_of_model(box):
    class Adder(nnx.Module):
        def __init__(self):
            self.rate = box[0]

        def add(self, model):
            model.value[...] += self.rate

    adder = Adder()
    return adder.add, lambda value: setattr(adder, "rate", value)


def _reads_class(box):
    class Rates:
        first = box[0]

    def f(model):
        model.value[...] += Rates.first

    return f, lambda value: setattr(Rates, "first", value)


def _reads_module(box):
    settings = types.ModuleType("settings_of_a_user")
    settings.deeper = types.ModuleType("deeper_settings_of_a_user")
    settings.deeper.rate = box[0]

    def f(model):
        model.value[...] += settings.deeper.rate

    return f, lambda value: setattr(settings.deeper, "rate", value)


def _calls_function_of_module(box):
    inner, change = _reads_closure(box)
    library = types.ModuleType("library_of_a_user")
    library.add = inner

    def f(model):
        library.add(model)

    return f, change


class Shared:
    """A namespace that two functions read, each something else."""

    first = second = 1.0


def _reads_class_beside_another(box):
    def helper(model):
        model.value[...] += Shared.second

    def f(model):
        helper(model)
        model.value[...] += Shared.first

    Shared.first = 0.0
    return f, lambda value: setattr(Shared, "second", value)


def _reads_inherited(box):
    class Base:
        rate = box[0]

    class Derived(Base):
        pass

    def f(model):
        model.value[...] += Derived.rate

    return f, lambda value: setattr(Base, "rate", value)


def _reads_own_attribute(box):
    def f(model):
        model.value[...] += f.rate

    f.rate = box[0]
    return f, lambda value: setattr(f, "rate", value)


def _calls_custom_derivative(box):
    inner, change = _reads_closure_of_number(box)
    custom = jax.custom_jvp(inner)
    custom.defjvp(lambda primals, tangents: (custom(*primals), tangents[0]))

    def f(model):
        model.value[...] = custom(model.value[...])

    return f, change


def _calls_compiled(box):
    inner, change = _reads_closure_of_number(box)
    compiled = jax.jit(inner)

    def f(model):
        compiled.clear_cache()
        model.value[...] = compiled(model.value[...])

    return f, change


def _reads_closure_of_number(box):
    scale = box[0]

    def change(value):
        nonlocal scale
        scale = value

    return lambda x: x + scale, change


def _reads_module_with_a_name_of_python(box):
    profile = types.ModuleType("profile")
    profile.rate = box[0]

    def f(model):
        model.value[...] += profile.rate

    return f, lambda value: setattr(profile, "rate", value)


def _reads_by_getattr(box):
    def f(model):
        model.value[...] += getattr(Shared, "fir" + "st")

    return f, lambda value: setattr(Shared, "first", value)


def _reads_by_globals(box):
    def change(value):
        global SCALE
        SCALE = value

    def f(model):
        model.value[...] += globals()["SCALE"]

    return f, change


def _imports(box):
    module = types.ModuleType("imported_by_a_branch")
    sys.modules[module.__name__] = module

    def f(model):
        import imported_by_a_branch

        model.value[...] += imported_by_a_branch.rate

    return f, lambda value: setattr(module, "rate", value)


def _reads_environment(box):
    def f(model):
        model.value[...] += float(os.environ["RATE_OF_A_TEST"])

    return f, lambda value: os.environ.update(RATE_OF_A_TEST=str(value))


READERS = [
    _reads_class_beside_another,
    _reads_inherited,
    _reads_own_attribute,
    _calls_custom_derivative,
    _calls_compiled,
    _reads_module_with_a_name_of_python,
    _reads_by_getattr,
    _reads_by_globals,
    _imports,
    _reads_environment,
    _reads_class,
    _reads_module,
    _calls_function_of_module,
    _reads_closure,
    _reads_global,
    _reads_global_inside,
    _reads_list,
    _reads_dictionary,
    _reads_variable,
    _reads_model,
    _reads_numpy,
    _reads_object,
    _reads_default,
    _calls_another,
    _is_partial,
    _is_method_of_model,
]
