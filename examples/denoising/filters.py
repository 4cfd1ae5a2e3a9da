"""What was done before there were networks: three filters of SciPy, and total variation.

Their widths were chosen with the very picture of the parrots, so as good as they can be there.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage, signal


def gaussian(noisy: np.ndarray, deviation: float) -> np.ndarray:
    """Take a weighted mean of neighbours; the more noise, the more of them."""
    return ndimage.gaussian_filter(noisy, 0.6 + 5 * deviation)


def median(noisy: np.ndarray, deviation: float) -> np.ndarray:
    """Take the median of 3x3 to 7x7 pixels; the more noise, the more of them."""
    return ndimage.median_filter(noisy, 3 if deviation < 0.08 else 5 if deviation < 0.15 else 7)


def wiener(noisy: np.ndarray, deviation: float) -> np.ndarray:
    """Take the mean of 5x5 or 7x7 pixels, and as much of the rest as is more than noise."""
    width = 5 if deviation < 0.08 else 7
    return signal.wiener(noisy, width, noise=deviation**2).astype(noisy.dtype)


def total_variation(noisy: np.ndarray, deviation: float) -> np.ndarray:
    """Return the picture whose pixels differ least from their neighbours, near the noisy one.

    Chambolle, *An Algorithm for Total Variation Minimization and Applications*, 2004.
    """
    return np.asarray(_chambolle(jnp.asarray(noisy), 0.9 * deviation))


@partial(jax.jit, static_argnames="steps")
def _chambolle(noisy: jax.Array, weight: float, steps: int = 100) -> jax.Array:
    def divergence(p):
        rows, columns = p
        down = rows - jnp.pad(rows, [(1, 0), (0, 0)])[:-1]
        return down + columns - jnp.pad(columns, [(0, 0), (1, 0)])[:, :-1]

    def gradient(x):
        down = jnp.pad(jnp.diff(x, axis=0), [(0, 1), (0, 0)])
        return jnp.stack([down, jnp.pad(jnp.diff(x, axis=1), [(0, 0), (0, 1)])])

    def step(p, _):
        slope = gradient(divergence(p) - noisy / weight)
        p = (p + 0.25 * slope) / (1 + 0.25 * jnp.linalg.norm(slope, axis=0))
        return p, None

    p, _ = jax.lax.scan(step, jnp.zeros((2, *noisy.shape)), None, length=steps)
    return noisy - weight * divergence(p)


FILTERS = {
    "Gaussian filter": gaussian,
    "median": median,
    "Wiener filter": wiener,
    "total variation": total_variation,
}
