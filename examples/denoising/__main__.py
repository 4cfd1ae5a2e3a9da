"""Take noise out of a picture with networks that others trained: ``python -m examples.denoising``.

Weights and pictures come with packages; nothing is trained, and nothing is downloaded.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from examples.denoising.settings import Settings, UsageError


def arguments() -> argparse.Namespace:
    """Read what was typed."""
    parser = argparse.ArgumentParser(prog="python -m examples.denoising", description=__doc__)
    parser.add_argument(
        "--workdir", type=Path, default=Path("denoising-run"), help="folder of the results"
    )
    for field in dataclasses.fields(Settings):
        kind = type(field.default)
        parser.add_argument(
            f"--{field.name}", type=kind, default=field.default, help=f"default: {field.default}"
        )
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    return parser.parse_args()


def main() -> None:
    """Denoise, measure and draw."""
    typed = arguments()
    try:
        names = [field.name for field in dataclasses.fields(Settings)]
        settings = Settings(**{name: getattr(typed, name) for name in names})
        typed.workdir.mkdir(parents=True, exist_ok=True)
        from examples.denoising import running

        running.run(typed.workdir, settings, typed.quiet)
    except (UsageError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("Interrupted. The same command begins again, with the same result.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
