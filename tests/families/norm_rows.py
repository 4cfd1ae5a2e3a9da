"""Rows for the layers that normalise."""

from tests.families.row import Row, floats


def _random(nn):
    """Initializers that leave no scale at one and no bias at zero."""
    return {"scale_init": nn.initializers.uniform(1.0), "bias_init": nn.initializers.normal(0.3)}


ROWS = (
    Row("layer_norm", lambda nn, **k: nn.LayerNorm(**_random(nn), **k), (floats(4, 3, 6),)),
    Row("layer_norm_wide", lambda nn, **k: nn.LayerNorm(**k), (floats(8, 16, 64),)),
    Row("layer_norm_one_example", lambda nn, **k: nn.LayerNorm(**k), (floats(7),)),
    Row(
        "layer_norm_axes",
        lambda nn, **k: nn.LayerNorm(reduction_axes=(1, 2), feature_axes=(2, 0), **k),
        (floats(4, 3, 6),),
    ),
    Row(
        "layer_norm_two_pass",
        lambda nn, **k: nn.LayerNorm(use_fast_variance=False, epsilon=1e-3, **k),
        (floats(4, 3, 16),),
    ),
    Row(
        "layer_norm_bare",
        lambda nn, **k: nn.LayerNorm(use_bias=False, use_scale=False, **k),
        (floats(4, 5),),
    ),
    Row(
        "layer_norm_half_statistics",
        lambda nn, **k: nn.LayerNorm(force_float32_reductions=False, **k),
        (floats(4, 5),),
    ),
    Row("rms_norm", lambda nn, **k: nn.RMSNorm(**k), (floats(4, 3, 6),)),
    Row(
        "rms_norm_axes",
        lambda nn, **k: nn.RMSNorm(
            reduction_axes=1, feature_axes=(1, 2), scale_init=nn.initializers.normal(), **k
        ),
        (floats(4, 3, 6),),
    ),
    Row(
        "group_norm",
        lambda nn, **k: nn.GroupNorm(num_groups=2, **_random(nn), **k),
        (floats(2, 4, 3, 6),),
    ),
    Row(
        "group_norm_size",
        lambda nn, **k: nn.GroupNorm(num_groups=None, group_size=2, reduction_axes=(-1,), **k),
        (floats(2, 4, 6),),
    ),
    Row(
        "group_norm_two_pass",
        lambda nn, **k: nn.GroupNorm(3, use_fast_variance=False, use_bias=False, **k),
        (floats(2, 4, 6),),
    ),
    Row(
        "instance_norm", lambda nn, **k: nn.InstanceNorm(**_random(nn), **k), (floats(2, 5, 4, 3),)
    ),
    Row(
        "instance_norm_axes",
        lambda nn, **k: nn.InstanceNorm(feature_axes=(1, -1), use_scale=False, **k),
        (floats(2, 3, 6, 4),),
    ),
    Row(
        "batch_norm",
        lambda nn, **k: nn.BatchNorm(use_running_average=False, **_random(nn), **k),
        (floats(4, 3, 6),),
        mutable=("batch_stats",),
    ),
    Row(
        "batch_norm_evaluated",
        lambda nn, **k: nn.BatchNorm(use_running_average=True, **k),
        (floats(4, 3, 6),),
    ),
    Row(
        "batch_norm_axis",
        lambda nn, **k: nn.BatchNorm(
            use_running_average=False, axis=1, momentum=0.9, use_fast_variance=False, **k
        ),
        (floats(4, 3, 6),),
        mutable=("batch_stats",),
    ),
    Row(
        "batch_norm_called_with_mode",
        lambda nn, **k: nn.BatchNorm(axis_name="batch", use_scale=False, **k),
        (floats(4, 6),),
        kwargs={"use_running_average": True},
    ),
    Row(
        "weight_norm",
        lambda nn, **k: nn.WeightNorm(
            nn.Dense(4, bias_init=nn.initializers.normal()),
            scale_init=nn.initializers.normal(),
            variable_filter=None,
        ),
        (floats(2, 3),),
        dtypes=False,
    ),
    Row(
        "weight_norm_axes",
        lambda nn, **k: nn.WeightNorm(nn.Conv(4, (3,)), feature_axes=(0, -1), epsilon=1e-6),
        (floats(2, 5, 3),),
        dtypes=False,
    ),
    Row(
        "weight_norm_whole",
        lambda nn, **k: nn.WeightNorm(nn.DenseGeneral((2, 3)), feature_axes=None),
        (floats(2, 3),),
        dtypes=False,
    ),
    Row(
        "spectral_norm",
        lambda nn, **k: nn.SpectralNorm(nn.Dense(4)),
        (floats(2, 3),),
        kwargs={"update_stats": True},
        mutable=("batch_stats",),
        dtypes=False,
    ),
    Row(
        "spectral_norm_tensor",
        lambda nn, **k: nn.SpectralNorm(
            nn.Conv(4, (3, 3)), n_steps=3, collection_name="spectra", epsilon=1e-6
        ),
        (floats(2, 5, 5, 3),),
        kwargs={"update_stats": False},
        dtypes=False,
    ),
)
