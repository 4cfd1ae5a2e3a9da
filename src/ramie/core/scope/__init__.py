"""Scopes: cursors into collections of variables, and functions that run on them."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.core.filters": (
            "DenyList filter_to_set group_collections in_filter intersect_filters is_filter_empty "
            "subtract_filters union_filters"
        ),
        "ramie.core.scope.variables": "Variable",
        "ramie.core.scope.entry": "apply bind init lazy_init _is_valid_rng",
        "ramie.core.scope.rng": "LazyRng",
        "ramie.core.scope.scope": "Scope no_flag",
        "ramie.trees.frozen": "FrozenDict freeze unfreeze",
        "ramie.typing": "CollectionFilter FrozenVariableDict PRNGSequenceFilter",
    },
)
