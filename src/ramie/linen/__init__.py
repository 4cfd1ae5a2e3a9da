"""Linen: neural networks as immutable modules and pure functions."""

from ramie.linen.adopt import share_scope as share_scope
from ramie.linen.entry import apply as apply
from ramie.linen.entry import init as init
from ramie.linen.entry import init_with_output as init_with_output
from ramie.linen.methods import compact as compact
from ramie.linen.methods import compact_name_scope as compact_name_scope
from ramie.linen.methods import disable_named_call as disable_named_call
from ramie.linen.methods import enable_named_call as enable_named_call
from ramie.linen.methods import intercept_methods as intercept_methods
from ramie.linen.methods import nowrap as nowrap
from ramie.linen.methods import override_named_call as override_named_call
from ramie.linen.module import Module as Module
from ramie.linen.module import merge_param as merge_param
