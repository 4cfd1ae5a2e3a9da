"""Random programs around steps that donate: nothing that can be reached is ever deleted."""

import random

import jax.numpy as jnp
import numpy as np
import pytest
from tests.tolerance import assert_exact
from tests.unit.nnx.transforms.holders import HOLDERS, SIZE, content, made

from ramie import nnx


class _World:
    """Models that share, what was taken of them, and what these held then."""

    def __init__(self, donate, seed):
        self.random = random.Random(seed)
        self.donate = donate
        self.models = [made(1.0 + i) for i in range(3)]
        self.kept = []
        self.copies = {}
        self.step = nnx.jit(self._step, donate=donate)
        self.fail = nnx.jit(self._fail, donate=donate)

    @staticmethod
    def _step(*modules, by):
        total = sum(m.w[...].sum() for m in modules)
        for i, m in enumerate(modules):
            m.w[...] = m.w * 0.5 + by + i + total * 1e-6
            if by.ndim:
                m.other[...] = m.other - by[0, 0]
        return {"total": total, "first": modules[0].w[...]}

    @staticmethod
    def _fail(*modules, by):
        modules[0].w[...] = modules[0].w + by
        raise ValueError("refused")

    def act(self):
        chosen = self.random.sample(self.models, self.random.randint(1, 2))
        by = self.random.choice([jnp.float32(1), jnp.ones((1, 1)), jnp.ones((SIZE, SIZE))])
        kind = self.random.randrange(10)
        if kind < 4:
            out = self.step(*chosen, by=by)
            if self.random.random() < 0.3:
                self.keep(out)
        elif kind == 4:
            with pytest.raises(ValueError, match="refused"):
                self.fail(*chosen, by=by)
        elif kind == 5:
            self.models[self.random.randrange(3)] = nnx.merge(*nnx.split(chosen[0]))
        elif kind == 6:
            nnx.update(chosen[0], nnx.state(self.random.choice(self.models)))
        elif kind == 7:
            chosen[0].w = self.random.choice(self.models).w
        elif kind == 8 and self.kept:
            del self.kept[self.random.randrange(len(self.kept))]
        else:
            holder = self.random.choice(sorted(HOLDERS))
            if holder not in ("an iterator", "a residual"):
                self.keep(HOLDERS[holder](chosen[0]))

    def keep(self, x):
        self.kept.append((x, content(x)))

    def check(self):
        for x, before in self.kept:
            for now, then in zip(content(x), before, strict=True):
                assert_exact(now, then)
        return [np.array(x) for m in self.models for x in (m.w[...], m.other[...])]


@pytest.mark.parametrize("seed", range(8))
def test_random_programs_reach_nothing_that_is_deleted(seed, deleted):
    auto, named = _World("auto", seed), _World("named", seed)
    for _ in range(30):
        auto.act(), named.act()
        for x, y in zip(auto.check(), named.check(), strict=True):
            assert_exact(x, y)
    assert deleted() == []
