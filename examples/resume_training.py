"""A training loop that can be stopped at any moment and continues when it is started again.

The whole training state is one TrainState, saved every ten steps. Run it twice:
`python examples/resume_training.py`; the second run continues behind the first one's last step.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import optax

import ramie.linen as nn
from ramie.training import checkpoints
from ramie.training.train_state import TrainState

FOLDER = Path("resume-training-run").absolute()
STEPS, SAVE_EVERY = 50, 10


class Net(nn.Module):
    """A hidden layer of tanh units."""

    hidden: int

    @nn.compact
    def __call__(self, x):
        """Map points [batch, 1] to values [batch, 1]."""
        return nn.Dense(1)(jnp.tanh(nn.Dense(self.hidden)(x)))


@jax.jit
def train_step(state, x, y):
    """Fit one batch; return the new state and the loss before the step."""

    def loss_of(params):
        return jnp.mean((state.apply_fn({"params": params}, x) - y) ** 2)

    loss, gradients = jax.value_and_grad(loss_of)(state.params)
    return state.apply_gradients(grads=gradients), loss


x = jnp.linspace(-1, 1, 64)[:, None]
y = jnp.sin(3 * x)
model = Net(hidden=16)
state = TrainState.create(
    apply_fn=model.apply,
    params=model.init(jax.random.key(0), x)["params"],
    tx=optax.adam(1e-2),
)

# With no checkpoint in the folder the state comes back as it is.
state = checkpoints.restore_checkpoint(FOLDER, state)
first = int(state.step)
if first:
    print(f"resumed at step {first}")

for step in range(first, first + STEPS):
    state, loss = train_step(state, x, y)
    if step % SAVE_EVERY == 0:
        print(f"step {step}  loss {loss:.4f}")
    if (step + 1) % SAVE_EVERY == 0:
        checkpoints.save_checkpoint(FOLDER, state, step=step + 1, keep=2)
