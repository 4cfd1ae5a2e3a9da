"""Tests of the site. Those in a browser are for `make docs-test`, where its driver is installed."""

import importlib.util

collect_ignore = [] if importlib.util.find_spec("playwright") else ["browser"]
