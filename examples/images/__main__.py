"""Train a ResNet to tell images apart: ``python -m examples.images``.

The run is a folder. A run that was ended in any way goes on when the same command is given again.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from examples.images.settings import Settings, UsageError


def arguments() -> argparse.Namespace:
    """Read what was typed."""
    parser = argparse.ArgumentParser(prog="python -m examples.images", description=__doc__)
    parser.add_argument(
        "--workdir", type=Path, default=Path("images-run"), help="folder of the run"
    )
    parser.add_argument(
        "--devices", type=int, default=0, help="share each batch; so many are made of a CPU"
    )
    for field in dataclasses.fields(Settings):
        kind = type(field.default)
        parser.add_argument(
            f"--{field.name}", type=kind, default=field.default, help=f"default: {field.default}"
        )
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    return parser.parse_args()


def main() -> None:
    """Train, measure and draw."""
    typed = arguments()
    try:
        names = [field.name for field in dataclasses.fields(Settings)]
        settings = Settings(**{name: getattr(typed, name) for name in names})
        if typed.devices < 0:
            raise UsageError(f"--devices is {typed.devices}; it has to be 0 or more.")
        typed.workdir.mkdir(parents=True, exist_ok=True)
        import jax

        if typed.devices:
            jax.config.update("jax_num_cpu_devices", typed.devices)
        from examples.images import running

        running.run(typed.workdir, settings, typed.devices, typed.quiet)
    except (UsageError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on after the last whole epoch.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
