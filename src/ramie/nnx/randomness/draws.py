"""Samplers as methods: of what gives a new random key whenever it is called."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from ramie.ops import initializers
from ramie.typing import PRNGKey

__all__ = ["Draws"]


def _draws(name: str) -> Any:
    """Make a method of a sampler of `jax.random`, whose first argument is the key."""
    sample: Any = getattr(jax.random, name)

    @functools.wraps(sample)
    def method(self: Callable[[], PRNGKey], *args: Any, **kwargs: Any) -> Any:
        return sample(self(), *args, **kwargs)

    return method


def _initializes(name: str) -> Any:
    """Make a method of a function that returns an initializer."""
    make: Any = getattr(initializers, name)

    @functools.wraps(make)
    def method(self: Callable[[], PRNGKey], *args: Any, **kwargs: Any) -> Any:
        initializer = make(*args, **kwargs)
        return lambda *shape_and_dtype: initializer(self(), *shape_and_dtype)

    return method


class Draws:
    """The samplers of `jax.random`, and initializers, without their first argument, the key.

    A sampler gives the numbers at once. An initializer is called with its own settings, and then
    with a shape and perhaps a dtype.

    Example:
        >>> from ramie import nnx
        >>> rngs = nnx.Rngs(0)
        >>> rngs.normal((2, 3)).shape, rngs.lecun_normal()((4, 5)).shape
        ((2, 3), (4, 5))
    """

    __slots__ = ()

    def __call__(self) -> PRNGKey:
        """Return a new key."""
        raise NotImplementedError(f"{type(self).__name__} gives no keys")

    ball = _draws("ball")
    bernoulli = _draws("bernoulli")
    beta = _draws("beta")
    binomial = _draws("binomial")
    bits = _draws("bits")
    categorical = _draws("categorical")
    cauchy = _draws("cauchy")
    chisquare = _draws("chisquare")
    choice = _draws("choice")
    dirichlet = _draws("dirichlet")
    double_sided_maxwell = _draws("double_sided_maxwell")
    exponential = _draws("exponential")
    f = _draws("f")
    gamma = _draws("gamma")
    generalized_normal = _draws("generalized_normal")
    geometric = _draws("geometric")
    gumbel = _draws("gumbel")
    laplace = _draws("laplace")
    loggamma = _draws("loggamma")
    logistic = _draws("logistic")
    lognormal = _draws("lognormal")
    maxwell = _draws("maxwell")
    multinomial = _draws("multinomial")
    multivariate_normal = _draws("multivariate_normal")
    normal = _draws("normal")
    orthogonal = _draws("orthogonal")
    pareto = _draws("pareto")
    permutation = _draws("permutation")
    poisson = _draws("poisson")
    rademacher = _draws("rademacher")
    randint = _draws("randint")
    rayleigh = _draws("rayleigh")
    t = _draws("t")
    triangular = _draws("triangular")
    truncated_normal = _draws("truncated_normal")
    uniform = _draws("uniform")
    wald = _draws("wald")
    weibull_min = _draws("weibull_min")

    delta_orthogonal = _initializes("delta_orthogonal")
    glorot_normal = _initializes("glorot_normal")
    glorot_uniform = _initializes("glorot_uniform")
    he_normal = _initializes("he_normal")
    he_uniform = _initializes("he_uniform")
    kaiming_normal = _initializes("kaiming_normal")
    kaiming_uniform = _initializes("kaiming_uniform")
    lecun_normal = _initializes("lecun_normal")
    lecun_uniform = _initializes("lecun_uniform")
    variance_scaling = _initializes("variance_scaling")
    xavier_normal = _initializes("xavier_normal")
    xavier_uniform = _initializes("xavier_uniform")
