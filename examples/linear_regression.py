"""The smallest training loop: parameters are a plain dictionary, the update is Optax's.

Run it with `python examples/linear_regression.py`.
"""

import jax
import jax.numpy as jnp
import optax

import ramie.linen as nn

model = nn.Dense(features=1)
key_x, key_noise, key_params = jax.random.split(jax.random.key(0), 3)
x = jax.random.normal(key_x, (128, 3))
y = x @ jnp.array([[2.0], [-1.0], [0.5]]) + 3.0 + 0.01 * jax.random.normal(key_noise, (128, 1))

variables = model.init(key_params, x)
optimizer = optax.adam(learning_rate=0.1)
optimizer_state = optimizer.init(variables)


@jax.jit
def train_step(variables, optimizer_state):
    """Take one step down the gradient of the squared error."""

    def loss_of(variables):
        return jnp.mean((model.apply(variables, x) - y) ** 2)

    loss, gradients = jax.value_and_grad(loss_of)(variables)
    updates, optimizer_state = optimizer.update(gradients, optimizer_state)
    return optax.apply_updates(variables, updates), optimizer_state, loss


for step in range(300):
    variables, optimizer_state, loss = train_step(variables, optimizer_state)
    if step % 100 == 0:
        print(f"step {step:3d}  loss {loss:.5f}")

print("kernel", variables["params"]["kernel"].ravel().round(2).tolist())
print("bias", variables["params"]["bias"].round(2).tolist())
