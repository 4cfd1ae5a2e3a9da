"""The classes known from flax_extra: summaries of a run, their files, and the best of them."""
