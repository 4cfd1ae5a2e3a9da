"""State and transformations: what layers of either style are built on."""

from ramie.core.filters import DenyList as DenyList
from ramie.core.frozen import FrozenDict as FrozenDict
from ramie.core.frozen import copy as copy
from ramie.core.frozen import freeze as freeze
from ramie.core.frozen import pop as pop
from ramie.core.frozen import pretty_repr as pretty_repr
from ramie.core.frozen import unfreeze as unfreeze
from ramie.core.meta import AxisMetadata as AxisMetadata
from ramie.core.meta import map_axis_meta as map_axis_meta
from ramie.core.meta import unbox as unbox
from ramie.core.rng import LazyRng as LazyRng
from ramie.core.scope import Scope as Scope
from ramie.core.scope import apply as apply
from ramie.core.scope import bind as bind
from ramie.core.scope import init as init
from ramie.core.scope import lazy_init as lazy_init
from ramie.core.trace import check_trace_level as check_trace_level
from ramie.core.trace import current_trace as current_trace
