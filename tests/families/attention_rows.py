"""Rows for attention."""

from tests.families.row import Row, floats, integers


def _attention(nn, **fields):
    return nn.MultiHeadDotProductAttention(num_heads=2, **fields)


ROWS = (
    Row("attention", lambda nn, **k: _attention(nn, **k), (floats(2, 5, 6),)),
    Row("attention_wide", lambda nn, **k: _attention(nn, **k), (floats(2, 16, 32),)),
    Row("attention_one_example", lambda nn, **k: _attention(nn, **k), (floats(5, 6),)),
    Row("attention_batch_axes", lambda nn, **k: _attention(nn, **k), (floats(2, 2, 5, 6),)),
    Row(
        "attention_cross",
        lambda nn, **k: _attention(
            nn, qkv_features=8, out_features=3, bias_init=nn.initializers.normal(), **k
        ),
        (floats(2, 5, 6), floats(2, 7, 4), floats(2, 7, 3)),
    ),
    Row(
        "attention_normalized",
        lambda nn, **k: nn.MultiHeadAttention(
            num_heads=3, normalize_qk=True, use_bias=False, precision="highest", **k
        ),
        (floats(2, 5, 6),),
    ),
    Row(
        "attention_initializers",
        lambda nn, **k: _attention(
            nn,
            kernel_init=nn.initializers.xavier_uniform(),
            out_kernel_init=nn.initializers.normal(),
            out_bias_init=nn.initializers.uniform(),
            **k,
        ),
        (floats(2, 5, 6),),
    ),
    Row(
        "attention_dropout",
        lambda nn, **k: _attention(nn, dropout_rate=0.3, deterministic=False, **k),
        (floats(2, 5, 6),),
        streams=("dropout",),
    ),
    Row(
        "attention_dropout_everywhere",
        lambda nn, **k: _attention(nn, dropout_rate=0.5, broadcast_dropout=False, **k),
        (floats(2, 5, 6),),
        kwargs={"deterministic": False},
        streams=("dropout",),
    ),
    Row(
        "attention_weights_kept",
        lambda nn, **k: _attention(nn),
        (floats(2, 5, 6),),
        kwargs={"sow_weights": True},
        mutable=("intermediates",),
        dtypes=False,
    ),
    Row(
        "attention_softmax_in_float32",
        lambda nn, **k: _attention(nn, force_fp32_for_softmax=True, **k),
        (floats(2, 5, 6),),
    ),
    Row(
        "attention_rope",
        lambda nn, **k: _attention(nn, attention_fn=nn.dot_product_attention_with_rope, **k),
        (floats(2, 5, 8),),
        peer=False,
    ),
    Row(
        "rope",
        lambda nn, **k: nn.RoPE(theta=50.0),
        (floats(2, 5, 8), integers(5, below=9)),
        dtypes=False,
        differentiable=False,  # there are no parameters
        peer=False,
    ),
)
