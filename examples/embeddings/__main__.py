"""Search texts by what they mean: ``python -m examples.embeddings --ask "pick by chance"``.

Weights come with a package; nothing is trained, and nothing is downloaded.
"""

import argparse
import sys
from pathlib import Path

from examples.embeddings.settings import QUESTIONS, Settings, UsageError


def arguments() -> argparse.Namespace:
    """Read what was typed."""
    parser = argparse.ArgumentParser(prog="python -m examples.embeddings", description=__doc__)
    parser.add_argument(
        "--ask", nargs="+", default=QUESTIONS, help="questions; by default, five on Python"
    )
    parser.add_argument(
        "--texts", default="", help="file with a text in each line; default: Python's library"
    )
    parser.add_argument(
        "--nearest", type=int, default=Settings.nearest, help="texts shown; default: %(default)s"
    )
    parser.add_argument(
        "--batch", type=int, default=Settings.batch, help="texts at a time; default: %(default)s"
    )
    parser.add_argument(
        "--workdir", type=Path, default=Path("embeddings-run"), help="folder of vectors and results"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing")
    return parser.parse_args()


def main() -> None:
    """Embed, search, and show what was found."""
    typed = arguments()
    try:
        settings = Settings(tuple(typed.ask), typed.texts, typed.nearest, typed.batch)
        typed.workdir.mkdir(parents=True, exist_ok=True)
        from examples.embeddings import running

        running.run(typed.workdir, settings, typed.quiet)
    except (UsageError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("Interrupted. The same command begins again, with the same result.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
