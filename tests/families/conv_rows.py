"""Rows for the convolutions."""

from tests.families.row import Row, floats

ROWS = (
    Row("conv", lambda nn, **k: nn.Conv(4, (3, 3), **k), (floats(2, 5, 6, 3),)),
    Row("conv_one_example", lambda nn, **k: nn.Conv(4, 3, **k), (floats(6, 3),)),
    Row("conv_batch_axes", lambda nn, **k: nn.Conv(4, (3,), **k), (floats(2, 2, 6, 3),)),
    Row(
        "conv_valid_strides",
        lambda nn, **k: nn.Conv(4, (3, 2), strides=(2, 1), padding="VALID", use_bias=False, **k),
        (floats(2, 6, 5, 3),),
    ),
    Row(
        "conv_circular",
        lambda nn, **k: nn.Conv(4, (3, 4), padding="CIRCULAR", kernel_dilation=2, **k),
        (floats(2, 7, 8, 3),),
    ),
    Row(
        "conv_reflect",
        lambda nn, **k: nn.Conv(4, (4,), padding="REFLECT", strides=2, **k),
        (floats(2, 7, 3),),
    ),
    Row(
        "conv_causal",
        lambda nn, **k: nn.Conv(4, (3,), padding="CAUSAL", kernel_dilation=2, **k),
        (floats(2, 7, 3),),
    ),
    Row(
        "conv_groups",
        lambda nn, **k: nn.Conv(6, (3,), feature_group_count=2, **k),
        (floats(2, 7, 4),),
    ),
    Row(
        "conv_depthwise",
        lambda nn, **k: nn.Conv(4, (3, 3), feature_group_count=4, **k),
        (floats(2, 5, 5, 4),),
    ),
    Row(
        "conv_input_dilation",
        lambda nn, **k: nn.Conv(4, (3,), input_dilation=2, padding=((1, 2),), **k),
        (floats(2, 7, 3),),
    ),
    Row("conv_pointwise", lambda nn, **k: nn.Conv(4, (1, 1), **k), (floats(2, 4, 4, 3),)),
    Row("conv_volume", lambda nn, **k: nn.Conv(2, (2, 3, 2), **k), (floats(1, 4, 4, 4, 2),)),
    Row("conv_local", lambda nn, **k: nn.ConvLocal(4, (3,), **k), (floats(2, 5, 2),)),
    Row(
        "conv_local_circular",
        lambda nn, **k: nn.ConvLocal(3, (3, 2), padding="CIRCULAR", strides=2, **k),
        (floats(2, 4, 5, 2),),
    ),
    Row("conv_transpose", lambda nn, **k: nn.ConvTranspose(4, (3,), **k), (floats(2, 5, 3),)),
    Row(
        "conv_transpose_strides",
        lambda nn, **k: nn.ConvTranspose(4, (3, 2), strides=(2, 3), padding="VALID", **k),
        (floats(2, 4, 3, 3),),
    ),
    Row(
        "conv_transpose_circular",
        lambda nn, **k: nn.ConvTranspose(4, (4, 3), strides=(1, 2), padding="CIRCULAR", **k),
        (floats(2, 5, 4, 3),),
    ),
    Row(
        "conv_transpose_kernel",
        lambda nn, **k: nn.ConvTranspose(
            4, (4, 3), strides=(2, 2), padding="CIRCULAR", transpose_kernel=True, **k
        ),
        (floats(3, 5, 3),),
    ),
    Row(
        "conv_transpose_dilated",
        lambda nn, **k: nn.ConvTranspose(
            4, (3,), padding=((1, 2),), kernel_dilation=(2,), use_bias=False, **k
        ),
        (floats(2, 2, 6, 3),),
    ),
)
