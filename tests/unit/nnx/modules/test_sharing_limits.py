"""What is not the same everywhere is traced on its own, and nothing is stale."""

import dataclasses
import gc
import threading
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.unit.linen.machinery.towers import calls
from tests.unit.nnx.modules.towers import DEPTH, WIDTH, Block, Tower, X, compare

from ramie import errors, nnx
from ramie.nnx.modules import sharing

pytestmark = pytest.mark.long

SCALE = 1.0


def forward(model, x):
    return model(x)


def _shared(model, *args):
    return calls(nnx.jit(forward, share_traces=True).trace(model, *args).jaxpr.jaxpr)


class Scaled(Block):
    def __init__(self, rngs, scale=1.0):
        super().__init__(rngs)
        self.scale = scale

    def __call__(self, x):
        return self.scale * super().__call__(x)


@pytest.mark.parametrize(
    "scales",
    [
        (1.0, 1.0, 2.0, 2.0, 1.0),
        (0.0, -0.0, 0.0, -0.0),
        (1, True, 1.0),
        ((1.0, 0.0), (1.0, -0.0), (1.0, 0.0)),
        ([1.0], [2.0], [1.0]),
        (np.ones(2), np.zeros(2), np.ones(2)),
    ],
    ids=["numbers", "zeros", "types", "tuples", "lists", "arrays"],
)
def test_static_attributes_decide(scales):
    class Own(Scaled):
        def __call__(self, x):
            return x.sum() * jnp.asarray(self.scale, jnp.float32).sum() * self.up.bias[...].sum()

    def make():
        left = [x if isinstance(x, np.ndarray) else nnx.static(x) for x in scales]
        return Tower(lambda rngs: Own(rngs, left.pop(0)), len(scales))

    def signs(model, x):
        return [jnp.signbit(block(x)) for block in model.blocks], model(x)

    compare(signs, make, X - 1.1)


def test_activations_of_other_code_and_constants():
    def make():
        acts = iter(
            [*(lambda x, c=c: x * c for c in (1.0, 2.0, 1.0)), *[lambda x: x, lambda x: x + 1]]
        )
        return Tower(lambda rngs: Block(rngs, act=next(acts)), 5)

    compare(lambda model, x: model(x), make, X, shared=1)


def test_shapes_and_dtypes_decide():
    def call(model, x):
        total = 0.0
        for size, dtype in ((1, "float32"), (2, "float32"), (1, "float32"), (1, "bfloat16")) * 2:
            total += model.blocks[0](x[:size].astype(dtype)).sum()
        return total

    compare(call, Tower, X)


def test_a_setting_that_the_parent_changes_is_not_stale():
    @dataclasses.dataclass
    class Setting:
        scale: float

    class Plain:
        def __init__(self, scale):
            self.scale = scale

    for kind in (Setting, Plain):

        class Own(Scaled):
            def __call__(self, x):
                return Block.__call__(self, x) * self.scale.scale

        def make(Own=Own, kind=kind):
            setting = kind(1.0)
            model = Tower(lambda rngs: Own(rngs, setting), 6)
            return model

        def call(model, x):
            for number, block in enumerate(model.blocks):
                block.scale.scale = 1.0 + number // 3
                x = block(x)
            return x

        compare(call, make, X)


def test_globals_closures_and_attributes_of_classes_are_not_stale():
    local = 1.0

    class Own(Block):
        factor = 1.0

        def __call__(self, x):
            return SCALE * local * self.factor * super().__call__(x)

    def call(model, x):
        nonlocal local
        global SCALE
        for number, block in enumerate(model.blocks):
            SCALE, local, Own.factor = 1.0 + number // 3, 1.0 + number // 6, 1.0 + number // 9
            x = block(x)
        SCALE = local = Own.factor = 1.0
        return x

    compare(call, lambda: Tower(Own, 12), X)


def _sows(self, x):
    self.sow(nnx.Intermediate, "seen", x)
    return Block.__call__(self, x)


def _counts(self, x):
    self.count = getattr(self, "count", 0) + 1
    return Block.__call__(self, x) * self.count


def _appends(self, x):
    self.log.append(1)
    return Block.__call__(self, x)


def _prints(self, x):
    print(x.shape)
    return Block.__call__(self, x)


def _grows(self, x):
    self.more = nnx.Param(jnp.ones(()))
    return Block.__call__(self, x) * self.more


def _resets(self, x):
    self.up.bias.set_raw_value(np.zeros(2 * WIDTH, np.float32))
    return Block.__call__(self, x)


def _replaces(self, x):
    self.up = self.up
    self.norm = nnx.LayerNorm(WIDTH, rngs=nnx.Rngs(0))
    return Block.__call__(self, x)


def _calls_back(self, x):
    jax.debug.callback(lambda x: None, x.sum())
    return Block.__call__(self, x)


@pytest.mark.parametrize(
    "method",
    [_sows, _counts, _appends, _prints, _grows, _resets, _replaces, _calls_back],
    ids=lambda method: method.__name__,
)
def test_what_does_more_than_store_values_is_traced_where_it_stands(method):
    class Own(Block):
        __call__ = method

        def __init__(self, rngs):
            super().__init__(rngs)
            self.log = nnx.static([])

    model = Tower(Own)
    assert _shared(model, X) == 0
    assert all(len(block.log) == (method is _appends) for block in model.blocks)
    if method is not _appends:
        compare(lambda model, x: (model(x), model(x)), lambda: Tower(Own), X)


def test_hooks_and_references_are_traced_where_they_stand():
    def doubled(variable, value):
        return 2 * value

    for options in ({"on_get_value": doubled}, {"on_set_value": doubled}, {"ref": True}):

        class Own(Block):
            def __init__(self, rngs, options=options):
                super().__init__(rngs)
                self.scale = nnx.Variable(jnp.ones(()), **options)

            def __call__(self, x):
                self.scale[...] = self.scale[...] + 1
                return super().__call__(x) * self.scale[...]

        compare(lambda model, x: model(x), lambda Own=Own: Tower(Own), X, shared=0)


def test_variables_and_values_from_outside_of_the_arguments():
    class Reading(Block):
        def __call__(self, x):
            return super().__call__(x) * outside[0][...]

    outside = []

    def call(model, x):
        outside[:] = [nnx.Variable(x.sum())]
        y = model(x)
        outside.clear()
        return y

    compare(call, lambda: Tower(Reading), X, shared=0)


def test_a_model_of_an_outer_trace_may_be_read_and_not_stored_to():
    class Counting(Block):
        def __init__(self, rngs):
            super().__init__(rngs)
            self.calls = nnx.Variable(jnp.zeros(()))

        def __call__(self, x):
            self.calls[...] += 1
            return super().__call__(x)

    def loss(model, x):
        return jax.grad(lambda x: model(x).sum())(x)

    compare(lambda model, x: jax.checkpoint(lambda x: model(x))(x), Tower, X, shared=DEPTH - 1)
    compare(loss, Tower, X)
    with pytest.raises(errors.TraceContextError, match="different trace level"):
        nnx.jit(loss, share_traces=True)(Tower(Counting), X)


def test_errors_are_those_of_the_module_that_was_called():
    model = Tower(depth=6)
    model.blocks[4].up = nnx.Linear(WIDTH + 1, 2 * WIDTH, rngs=nnx.Rngs(0))

    class Refusing(Block):
        def __call__(self, x):
            if self.drop.rate:
                raise ValueError(f"not {self.drop.rate}")
            return super().__call__(x)

    for share in (False, True):
        with pytest.raises(errors.InputShapeError, match=r"blocks/4/up"):
            nnx.jit(forward, share_traces=share)(model, X)
    refusing = Tower(lambda rngs: Refusing(rngs, rate=0.5))
    with pytest.raises(ValueError, match=r"not 0\.5"):
        nnx.jit(forward, share_traces=True)(refusing, X)


def test_values_that_python_needs():
    class Deciding(Block):
        def __call__(self, x):
            y = super().__call__(x)
            return y if np.asarray(self.up.bias[...]).sum() >= 0 else -y

    model = Tower(Deciding)
    want = jax.jit(lambda x: model(x))(X)  # its values are known
    with nnx.share_traces():
        assert (jax.jit(lambda x: model(x))(X) == want).all()
    with pytest.raises(jax.errors.TracerArrayConversionError):
        nnx.jit(forward, share_traces=True)(model, X)


def test_settings_of_jax_decide():
    class Precise(Block):
        def __call__(self, x):
            return super().__call__(x)

    def call(model, x):
        for number, block in enumerate(model.blocks):
            with jax.default_matmul_precision("highest" if number % 2 else "default"):
                x = block(x)
        return x

    compare(call, lambda: Tower(Precise, 6), X)


def test_captured_values_are_those_of_each_block():
    class Sowing(Block):
        def __call__(self, x):
            self.sow(nnx.Intermediate, "seen", x)
            return super().__call__(x)

    def captured(model, x):
        return nnx.capture(model, nnx.Intermediate, method_outputs=nnx.Intermediate)(x)

    compare(lambda model, x: captured(model, x)[0], lambda: Tower(Sowing), X, shared=0)
    compare(captured, lambda: Tower(Sowing), X, shared=0)


def test_outside_of_a_trace_nothing_is_shared():
    model = Tower(Scaled)
    want = model(X)
    with nnx.share_traces():
        assert (model(X) == want).all()
        assert jax.tree.leaves(nnx.grad(lambda m: m(X).sum())(model))


def test_other_threads_are_not_concerned():
    found, ready, done = [], threading.Event(), threading.Event()

    def other():
        ready.wait()
        found.append(calls(nnx.jit(forward).trace(Tower(), X).jaxpr.jaxpr))
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with nnx.share_traces():
        ready.set()
        done.wait()
        assert calls(nnx.jit(forward).trace(Tower(), X).jaxpr.jaxpr) == DEPTH - 1
    thread.join()
    assert found == [0]


def test_nothing_is_kept_after_the_trace():
    class Own(Block):
        def __call__(self, x):
            return super().__call__(x)

    model = Tower(Own)
    with nnx.share_traces():
        nnx.jit(lambda model, x: model(x))(model, X)
        assert sharing._here.session is None
        kept = [weakref.ref(block) for block in model.blocks]
        assert kept[0]() is not None
        del model
        gc.collect()
        assert all(block() is None for block in kept)
    assert sharing._here.loose is None


def test_programs_are_bounded(monkeypatch):
    monkeypatch.setattr(sharing, "_MOST_PROGRAMS", 2)
    compare(
        lambda model, x: [block(x[:, :size]) for block in model.blocks for size in (1, 2, 3, 1)],
        Tower,
        X,
    )


def test_after_an_error_all_is_as_before():
    before = dict(vars(Block))
    with pytest.raises(ZeroDivisionError), nnx.share_traces():
        raise ZeroDivisionError
    assert dict(vars(Block)) == before
    assert _shared(Tower(), X) == DEPTH - 1
