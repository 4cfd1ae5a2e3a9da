"""sow, perturb, captured intermediates and module paths: the same collections and gradients."""

import jax
import jax.numpy as jnp
import pytest

flax = pytest.importorskip("flax")

from tests.tolerance import assert_exact  # noqa: E402

from ramie import linen  # noqa: E402

KEY = jax.random.key(0)
X = jnp.ones((2, 3))


def make(nn):
    class Block(nn.Module):
        def setup(self):
            self.dense = nn.Dense(3)
            self.gain = self.param("gain", nn.initializers.ones, ())

        def encode(self, x):
            return self.dense(x) * self.gain

        def __call__(self, x):
            self.sow("intermediates", "h", x)
            self.sow("counts", "calls", 1, reduce_fn=lambda a, b: a + b, init_fn=lambda: 0)
            return self.encode(self.encode(x))

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            block = Block()
            x = self.perturb("between", block(block(x)))
            return self.perturb("y", nn.Dense(2, name="out")(x), collection="tapped")

    return Net()


OURS, THEIRS = make(linen), make(flax.linen)
VARIABLES = OURS.init(KEY, X)
FILTERS = {
    "all calls": True,
    "all methods": lambda module, name: True,
    "a class": lambda module, name: type(module).__name__ == "Dense",
    "a method": lambda module, name: name == "encode",
    "a place": lambda module, name: module.name == "out",
    "by path": lambda module, name: module.path[:1] == ("Block_0",),
    "none": False,
}


def assert_same(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    jax.tree.map(assert_exact, ours, theirs)


def test_variables():
    assert_same(VARIABLES, THEIRS.init(KEY, X))


@pytest.mark.parametrize("mutable", [False, True, ["counts"]])
@pytest.mark.parametrize("name", FILTERS)
def test_captured_intermediates(name, mutable):
    options = {"capture_intermediates": FILTERS[name], "mutable": mutable}
    assert_same(OURS.apply(VARIABLES, X, **options), THEIRS.apply(VARIABLES, X, **options))


@pytest.mark.parametrize("name", FILTERS)
def test_intermediates_of_init(name):
    options = {"capture_intermediates": FILTERS[name], "mutable": True}
    assert_same(
        OURS.init_with_output(KEY, X, **options), THEIRS.init_with_output(KEY, X, **options)
    )


@pytest.mark.parametrize(
    "collections", [{"perturbations"}, {"tapped"}, {"perturbations", "tapped"}]
)
def test_gradients_with_respect_to_values(collections):
    chosen = {name: VARIABLES[name] for name in collections}
    rest = {"params": VARIABLES["params"]}

    def gradient(model):
        loss = lambda chosen: (model.apply({**rest, **chosen}, X) ** 2).sum()
        return jax.jit(jax.grad(loss))(chosen)

    assert_same(gradient(OURS), gradient(THEIRS))


@pytest.mark.parametrize("model", [OURS, THEIRS], ids=["ramie", "flax"])
def test_a_perturbation_that_is_not_there_raises(model):
    with pytest.raises(ValueError, match=r"perturb"):
        model.apply({"params": VARIABLES["params"], "perturbations": {}}, X)


@pytest.mark.parametrize("show_repeated", [False, True])
def test_module_paths(show_repeated):
    def listed(model):
        paths = model.module_paths(KEY, X, show_repeated=show_repeated)
        return [(path, type(m).__name__, m.name, m.scope) for path, m in paths.items()]

    assert listed(OURS) == listed(THEIRS)
