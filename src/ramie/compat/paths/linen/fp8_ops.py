"""Arithmetic in fp8 and its layers, under the names of ``flax.linen.fp8_ops``."""

from ramie.compat.paths.linen import initializers as initializers
from ramie.core.max_grad import MAX_GRAD_FLOAT32 as fm32
from ramie.core.max_grad import MaxGradDType as fp8_meta_dtype_wrapper
from ramie.core.max_grad import MaxGradRules as Fp8MetaTyRules
from ramie.core.max_grad import MaxGradScalar as fp8_meta_dtype
from ramie.linen import module as module
from ramie.linen.layers.fp8 import Fp8DirectDotGeneralOp as Fp8DirectDotGeneralOp
from ramie.linen.layers.fp8 import Fp8DotGeneral as Fp8DotGeneral
from ramie.linen.layers.fp8 import Fp8DotGeneralBase as Fp8DotGeneralBase
from ramie.linen.layers.fp8 import Fp8DotGeneralOp as Fp8DotGeneralOp
from ramie.linen.layers.fp8 import Fp8Einsum as Fp8Einsum
from ramie.linen.layers.fp8 import NANOOFp8DotGeneralOp as NANOOFp8DotGeneralOp
from ramie.ops.fp8 import OVERWRITE_WITH_GRADIENT as OVERWRITE_WITH_GRADIENT
from ramie.ops.fp8 import compute_amax_history as compute_amax_history
from ramie.ops.fp8 import compute_scale as compute_scale
from ramie.ops.fp8 import dequantize as dequantize
from ramie.ops.fp8 import dot_general_transpose_lhs as dot_general_transpose_lhs
from ramie.ops.fp8 import dot_general_transpose_rhs as dot_general_transpose_rhs
from ramie.ops.fp8 import dot_general_with_precision as dot_general_with_precision
from ramie.ops.fp8 import dot_general_with_precision_jvp as dot_general_with_precision_jvp
from ramie.ops.fp8 import fp8_scaled_dot_general as fp8_scaled_dot_general
from ramie.ops.fp8 import get_fp8_max as get_fp8_max
from ramie.ops.fp8 import in_q as in_q
from ramie.ops.fp8 import in_q_bwd as in_q_bwd
from ramie.ops.fp8 import in_q_fwd as in_q_fwd
from ramie.ops.fp8 import in_qdq as in_qdq
from ramie.ops.fp8 import in_qdq_bwd as in_qdq_bwd
from ramie.ops.fp8 import in_qdq_fwd as in_qdq_fwd
from ramie.ops.fp8 import out_dq as out_dq
from ramie.ops.fp8 import out_dq_bwd as out_dq_bwd
from ramie.ops.fp8 import out_dq_fwd as out_dq_fwd
from ramie.ops.fp8 import out_qdq as out_qdq
from ramie.ops.fp8 import out_qdq_bwd as out_qdq_bwd
from ramie.ops.fp8 import out_qdq_fwd as out_qdq_fwd
from ramie.ops.fp8 import qdq as qdq
from ramie.ops.fp8 import quantize as quantize
from ramie.ops.fp8 import quantize_dequantize_update as quantize_dequantize_update
from ramie.ops.fp8 import quantized_dot as quantized_dot
from ramie.ops.fp8 import quantized_dot_bwd as quantized_dot_bwd
from ramie.ops.fp8 import quantized_dot_fwd as quantized_dot_fwd
from ramie.ops.fp8 import update_fp8_meta as update_fp8_meta

__all__ = [
    "CAN_USE_EARRAY",
    "OVERWRITE_WITH_GRADIENT",
    "Fp8DirectDotGeneralOp",
    "Fp8DotGeneral",
    "Fp8DotGeneralBase",
    "Fp8DotGeneralOp",
    "Fp8Einsum",
    "Fp8MetaTyRules",
    "NANOOFp8DotGeneralOp",
    "compute_amax_history",
    "compute_scale",
    "dequantize",
    "dot_general_transpose_lhs",
    "dot_general_transpose_rhs",
    "dot_general_with_precision",
    "dot_general_with_precision_jvp",
    "fm32",
    "fp8_meta_dtype",
    "fp8_meta_dtype_wrapper",
    "fp8_scaled_dot_general",
    "fp32_max_grad",
    "get_fp8_max",
    "in_q",
    "in_q_bwd",
    "in_q_fwd",
    "in_qdq",
    "in_qdq_bwd",
    "in_qdq_fwd",
    "out_dq",
    "out_dq_bwd",
    "out_dq_fwd",
    "out_qdq",
    "out_qdq_bwd",
    "out_qdq_fwd",
    "qdq",
    "quantize",
    "quantize_dequantize_update",
    "quantized_dot",
    "quantized_dot_bwd",
    "quantized_dot_fwd",
    "update_fp8_meta",
]

fp32_max_grad = fm32

# Arrays of extended element types exist outside of transformations, in every supported JAX.
CAN_USE_EARRAY = True
