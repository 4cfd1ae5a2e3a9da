"""What holds for every test: strict JAX, a warm compiler cache, four CPU devices, no luck."""

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

_CACHE = Path(__file__).resolve().parent.parent / ".cache" / "jax"

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# A shell that runs the tests in the background has them ignore Ctrl-C, and so all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, however slow the machine: a failure is never a matter of luck.
settings.register_profile("ramie", deadline=None, derandomize=True)
settings.load_profile("ramie")


@pytest.fixture(scope="module", autouse=True)
def few_mappings():
    """Drop compiled programs before there are more than Linux lets a process have."""
    yield
    from tests import mappings

    mappings.look_now_and_then()


@pytest.fixture
def quick_collections():
    """Let the garbage collector pass over what other tests left, which takes it seconds."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def deleted(quick_collections):
    """A function that lists the arrays that were deleted in this test and are still there."""
    import jax

    def find():
        gc.collect()
        kind = type(jax.numpy.ones(()))
        return [x for x in gc.get_objects() if type(x) is kind and x.is_deleted()]

    return find
