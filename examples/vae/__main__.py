"""Train a variational autoencoder on handwritten digits: ``python -m examples.vae``.

The run is a folder. A run that was ended in any way goes on when the same command is given again.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from examples.vae.settings import Settings, UsageError


def arguments() -> argparse.Namespace:
    """Read what was typed."""
    parser = argparse.ArgumentParser(prog="python -m examples.vae", description=__doc__)
    parser.add_argument("--workdir", type=Path, default=Path("vae-run"), help="folder of the run")
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
        typed.workdir.mkdir(parents=True, exist_ok=True)
        from examples.vae import running

        running.run(typed.workdir, settings, typed.quiet)
    except (UsageError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on after the last whole epoch.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
