"""Atari games by proximal policy optimisation, in Linen."""

from pathlib import Path

from tools.peer_examples.record import Record, calls

FOLDER = "ppo"
NEEDS = ("gymnasium", "ale_py", "cv2", "ml_collections", "tensorboardX")
WHAT = "`train`: Pong, one game to test, 3 unrolls of 2 agents, 2 passes of 2 batches each"


def run(record: Record, workdir: Path) -> None:
    """Train on three unrolls of 32 steps."""
    import ale_py
    import gymnasium
    import models
    import ppo_lib
    from configs import default

    gymnasium.register_envs(ale_py)
    config = default.get_config()
    config.num_agents, config.actor_steps, config.batch_size = 2, 32, 32
    config.num_epochs, config.total_frames = 2, 2 * 32 * 3

    with (
        calls(ppo_lib, "train_step", lambda result, _: record.step(result[1])),
        calls(ppo_lib, "process_experience", lambda result, _: record.step(result[1:])),
        calls(ppo_lib.test_episodes, "policy_test", lambda score, _: record.step(score)),
    ):
        state = ppo_lib.train(models.ActorCritic(num_outputs=6), config, str(workdir))
    record.parameters(state.params)
