"""Linen: neural networks as immutable modules and pure functions."""

from ramie.linen import dtypes as dtypes
from ramie.linen import initializers as initializers
from ramie.linen import linear as linear
from ramie.linen.adopt import share_scope as share_scope
from ramie.linen.entry import apply as apply
from ramie.linen.entry import init as init
from ramie.linen.entry import init_with_output as init_with_output
from ramie.linen.linear import Conv as Conv
from ramie.linen.linear import ConvLocal as ConvLocal
from ramie.linen.linear import ConvTranspose as ConvTranspose
from ramie.linen.linear import Dense as Dense
from ramie.linen.linear import DenseGeneral as DenseGeneral
from ramie.linen.linear import Einsum as Einsum
from ramie.linen.linear import Embed as Embed
from ramie.linen.methods import compact as compact
from ramie.linen.methods import compact_name_scope as compact_name_scope
from ramie.linen.methods import disable_named_call as disable_named_call
from ramie.linen.methods import enable_named_call as enable_named_call
from ramie.linen.methods import intercept_methods as intercept_methods
from ramie.linen.methods import nowrap as nowrap
from ramie.linen.methods import override_named_call as override_named_call
from ramie.linen.module import Module as Module
from ramie.linen.module import merge_param as merge_param
