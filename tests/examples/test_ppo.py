"""Reinforcement learning: advantages, episodes that are played again, and runs that go on."""

import dataclasses
import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from examples.ppo import environments, model, playing, running, steps
from examples.ppo.environments import Environments
from examples.ppo.settings import PRESETS, SMALLEST, Settings
from tests.examples.example_runs import Example, compile_once, log_of
from tests.tolerance import assert_close, assert_exact

from ramie.training.stepping import Stepper

TINY = PRESETS["tiny"]
PONG = dataclasses.replace(TINY, env="ALE/Pong-v5", length=4, batch=4, updates=2, longest=6)
EXAMPLE = Example("ppo", "--play", other=("--seed", 3), step="update")


@pytest.fixture(scope="module", autouse=True)
def made_once():
    """Make the first state and compile once for all runs of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "create", functools.cache(steps.create))
        compile_once(patch, running)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing cut."""
    folder = tmp_path_factory.mktemp("whole")
    assert EXAMPLE.call("--workdir", folder) is None
    return folder


@pytest.fixture(scope="module")
def policy():
    """The model of the tiny preset, and its first parameters."""
    spaces = environments.spaces(TINY)
    return model.create(TINY, spaces), steps.create(TINY, spaces).params


def test_a_run_that_is_cut_twice_ends_as_one_that_is_not(whole, tmp_path, capsys):
    EXAMPLE.ends_as_one_that_is_not_cut(whole, tmp_path / "run", capsys)


def test_a_run_shows_its_result(whole, capsys):
    EXAMPLE.shows_its_result(whole, "greedy", capsys)
    result = log_of(whole)
    assert 1 <= result["least"] <= result["mean"] <= result["most"] <= TINY.longest
    for said in EXAMPLE.answers(whole, ["7", "8"], capsys):
        assert 1 <= float(said) <= TINY.longest


def test_what_cannot_work_is_refused_and_left_alone(whole, tmp_path):
    EXAMPLE.refuses_what_cannot_work(whole, tmp_path)
    assert "--play takes seeds, which are" in EXAMPLE.call("--workdir", whole, "--play", "x")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", str(2**32)], "it has to be below 2**32"),
        (["--envs", "0"], "envs is 0; it has to be at least 1"),
        (["--rate", "nan"], "rate is nan; it has to be above 0"),
        (["--gamma", "1.5"], "gamma is 1.5; it has to be above 0 and at most 1"),
        (["--entropy", "-1"], "entropy is -1.0; it has to be 0 or more"),
        (["--batch", "3"], "to divide the 32 steps of 2 environments"),
        (["--size", "20"], "size is 20; it has to be at least 36"),
        (["--env", "NoSuch-v0"], "'NoSuch-v0': Environment `NoSuch` doesn't exist"),
        (["--env", "ALE/NoSuch-v5"], "`NoSuch` doesn't exist in namespace ALE"),
        (["--env", "nosuch:Env-v0"], "No module named 'nosuch'"),
        (["--env", ""], "gymnasium cannot make an environment ''"),
        (["--env", "Pendulum-v1"], "so the kind has to be Discrete"),
        (["--env", "FrozenLake-v1"], "this example knows rows of numbers"),
    ],
)
def test_what_cannot_be_learned_is_said_in_one_line(options, said, tmp_path):
    EXAMPLE.says_in_one_line(options, said, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_package_for_games_is_asked_for_where_games_are(monkeypatch, tmp_path):
    monkeypatch.setattr(EXAMPLE.program, "FOR_ATARI", ("no-such-package",))
    said = EXAMPLE.call("--workdir", tmp_path / "run", "--env", "ALE/Pong-v5")
    assert "pip install no-such-package" in said
    monkeypatch.setattr(sys, "argv", ["ppo", "--env", "ALE/Breakout-v5", "--seed", "3"])
    found = EXAMPLE.program.settings_of(EXAMPLE.program.arguments())
    assert found == dataclasses.replace(PRESETS["atari"], env="ALE/Breakout-v5", seed=3)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    EXAMPLE.says_in_one_line(["--scale", "1e38"], "is no number; take a lower", tmp_path / "run")


def test_advantages_are_sums_of_later_surprises():
    """Against the sum of the paper, episode by episode."""
    rng = np.random.default_rng(0)
    shape, gamma, lam = (9, 3), 0.9, 0.7
    rewards, values, following = rng.normal(size=(3, *shape)).astype(np.float32)
    over = rng.random(shape) < 0.3
    surprises = (rewards + gamma * following - values).astype(np.float64)
    wanted = np.zeros(shape)
    for env in range(shape[1]):
        for step in range(shape[0]):
            for later in range(step, shape[0]):
                wanted[step, env] += (gamma * lam) ** (later - step) * surprises[later, env]
                if over[later, env]:
                    break
    found = steps.advantages(rewards, values, following, jnp.asarray(over), gamma, lam)
    assert_close(found, wanted.astype(np.float32))


def test_what_follows_a_step_depends_on_how_it_ended(policy):
    """Where an episode was cut, what the last observation promises counts; where it ended, 0."""
    policy, params = policy
    settings = dataclasses.replace(TINY, longest=11, length=64, seed=2)
    envs, again = (Environments(settings, 2, environments.training_seed(2)) for _ in range(2))
    found, returns = playing.rollout(params, policy, envs, settings, 0)
    kinds = {"cut": 0, "fallen": 0}
    for step in range(settings.length):
        assert_exact(found.observations[step], again.observations)
        outcome = again.step(found.actions[step])
        _, expected = policy.apply({"params": params}, outcome.observations)
        assert_exact(found.over[step], outcome.terminated | outcome.truncated)
        assert_close(found.next_values[step], np.where(outcome.terminated, 0, expected), "model")
        kinds["cut"] += outcome.truncated.sum()
        kinds["fallen"] += outcome.terminated.sum()
    assert all(kinds.values()) and sum(kinds.values()) == len(returns)
    assert_exact(found.rewards, np.full((64, 2), settings.scale, np.float32))


def test_the_loss_is_that_of_the_paper():
    """Ratios of 1.5 and 0.5 are clipped to 1.2 and 0.8 where that makes the gain smaller."""
    settings = dataclasses.replace(TINY, clip=0.2, value=0.5, entropy=0.1)
    logits = np.log(np.float32([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5], [0.5, 0.5]]))
    values = np.float32([1.0, 2.0, 0.0, 0.0])
    batch = {
        "observations": None,
        "actions": np.int32([0, 0, 1, 0]),
        "log_probs": np.log(np.full(4, 0.5, np.float32)),
        "advantages": np.float32([1.0, -1.0, 1.0, -1.0]),
        "returns": np.float32([1.0, 0.0, 0.0, 2.0]),
    }
    loss, measured = steps.loss_of({}, lambda *_: (logits, values), settings, batch)
    gain = (1.2 - 0.8 + 1 - 1) / 4
    mixed = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    wanted = -gain + 0.5 * (4 + 4) / 4 - 0.1 * (2 * mixed + 2 * np.log(2)) / 4
    assert_close(loss, np.float32(wanted))
    assert_close(measured["clipped"], np.float32(0.5))


@pytest.mark.parametrize("settings", [TINY, PONG], ids=["numbers", "games"])
def test_episodes_are_what_seeds_and_actions_make_them(settings):
    """Left in the middle of episodes of different ages, and played again elsewhere."""
    settings = dataclasses.replace(settings, longest=25)
    rng = np.random.default_rng(0)
    envs, again = (Environments(settings, 3, environments.training_seed(1)) for _ in range(2))
    count = 4 if settings.atari else 60
    for _ in range(count):
        envs.step(rng.integers(0, 2, 3))
    state = envs.state()
    assert len(state["actions"]) == state["steps"].max() <= count
    again.step(np.zeros(3, int))
    again.restore(state)
    assert_exact(again.observations, envs.observations)
    for _ in range(30):
        actions = rng.integers(0, 2, 3)
        one, other = envs.step(actions), again.step(actions)
        for field in dataclasses.fields(one):
            assert_exact(getattr(one, field.name), getattr(other, field.name))
        assert_exact(again.observations, envs.observations)
    assert (np.ptp(state["steps"]) > 0) != settings.atari


def test_the_last_observation_of_an_episode_is_seen():
    settings = dataclasses.replace(TINY, longest=0)
    envs = Environments(settings, 2, environments.training_seed(0))
    while True:
        outcome = envs.step(np.array([0, 1]))
        if outcome.terminated.any():
            break
    fallen = outcome.terminated
    assert (np.abs(outcome.observations[fallen, 2]) > 0.2).all()  # the pole leans too far
    assert (np.abs(envs.observations[fallen, 2]) < 0.05).all()  # the next episode
    assert_exact(envs.observations[~fallen], outcome.observations[~fallen])
    assert_exact(np.isnan(outcome.returns), ~fallen)


def test_each_seed_counts_once(policy):
    together = playing.played(policy[1], policy[0], TINY, [5, 6, 7])
    alone = [playing.played(policy[1], policy[0], TINY, [seed])[0] for seed in (5, 6, 7)]
    assert together == alone
    seen, actions = playing.episode(policy[1], policy[0], TINY, 6)
    assert len(seen) == len(actions) == alone[1]


def test_it_learns_to_balance_better_than_chance():
    """Some updates of a small model; a pole that is pushed at random stands for 22 steps."""
    settings = Settings(envs=4, length=64, updates=12, epochs=6, batch=64, width=16, rate=5e-3)
    spaces = environments.spaces(settings)
    state, policy = steps.create(settings, spaces), model.create(settings, spaces)
    training = Stepper(functools.partial(steps.step, settings), state, has_aux=True)
    envs = Environments(settings, 4, environments.training_seed(0))
    for number in range(settings.updates):
        rollout, _ = playing.rollout(training.state.params, policy, envs, settings, number)
        steps.update(training, settings, rollout, number)
    seeds = environments.held_out_seeds(0, 10)
    assert np.mean(playing.played(training.state.params, policy, settings, seeds)) > 60


def test_games_are_learned_from_frames():
    """Two updates of Pong; the convolutions get gradients, and rewards are signs."""
    spaces = environments.spaces(PONG)
    assert spaces.observation == (2, SMALLEST, SMALLEST) and spaces.images
    state, policy = steps.create(PONG, spaces), model.create(PONG, spaces)
    training = Stepper(functools.partial(steps.step, PONG), state, has_aux=True)
    envs = Environments(PONG, 2, environments.training_seed(0))
    for number in range(2):
        rollout, returns = playing.rollout(training.state.params, policy, envs, PONG, number)
        assert rollout.observations.dtype == np.uint8
        measured = steps.update(training, PONG, rollout, number)
    assert returns == [0.0, 0.0] and np.isfinite(measured["loss"])
    changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), training.state.params, state.params)
    assert all(jax.tree.leaves(changed))
