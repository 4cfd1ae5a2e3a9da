"""Models as graphs: their structure, and the functions that take them apart."""

from ramie.foundation import doors
from ramie.nnx.graph import saving as saving  # a model can be saved from the first one on

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.nnx.graph.contexts": (
            "MergeContext SplitContext UpdateContext current_update_context merge_context "
            "split_context update_context"
        ),
        "ramie.nnx.graph.conversions": "vars_as with_vars",
        "ramie.nnx.graph.editing": "pop set_metadata",
        "ramie.nnx.graph.flat": "IndexMap RefMap flatten unflatten",
        "ramie.nnx.graph.functional": (
            "as_pure call clone find_duplicates graphdef iter_children map merge pure split state "
            "variables"
        ),
        "ramie.nnx.graph.packed": "GraphState unpack",
        "ramie.nnx.graph.structure": "ContainerDef GraphDef NodeDef NodeRef Static TreeNodeDef",
        "ramie.nnx.graph.updating": "update",
        "ramie.nnx.graph.walk": "iter_graph",
        "ramie.nnx.modes": "set_graph_mode set_graph_updates",
        "ramie.nnx.modules.module": "iter_module_children",
        "ramie.nnx.modules.views": "recursive_map",
        "ramie.nnx.states.functions": "map_state",
        "ramie.nnx.states.state": "FlatState State",
        "ramie.nnx.transforms.compilation.compiled": "cached_partial",
        "ramie.nnx.variable.base": "Variable",
        "ramie.nnx.variable.metadata": "VariableDef",
    },
)
