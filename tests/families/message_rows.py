"""Every mistake whose message has words that others know; see `tests.families.message_row`."""

from tests.families.layer_messages import LAYERS
from tests.families.module_messages import MODULES, SCOPES
from tests.families.nnx_messages import NNX
from tests.families.tree_messages import CATALOGUE, TREES

GROUPS = {
    "module": MODULES,
    "scope": SCOPES,
    "layer": LAYERS,
    "tree": TREES,
    "catalogue": CATALOGUE,
    "nnx": NNX,
}
ROWS = {f"{group}: {name}": row for group, rows in GROUPS.items() for name, row in rows.items()}
