"""Lets `python -m ramie` do what `ramie` does, where the command is not on the path."""

import sys

from ramie.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
