"""What the versions of JAX spell differently, by public names: the one place that tells them apart.

What is private in JAX, and may be missing, is in `ramie.core.tracing.trace`.
"""

from typing import Any

import jax

__all__ = ["INLINE"]

INLINE: Any = getattr(getattr(jax, "Inline", None), "JAX_EARLY", True)
"""For ``jax.jit(f, inline=INLINE)``: called in a trace, `f` leaves equations there and no program.

From JAX 0.12 on ``True`` leaves a program, which is inlined when it is lowered.
"""
