"""Attention: scores and weights, along several axes, with rotary positions."""

from ramie.foundation import doors

__all__, __getattr__, __dir__ = doors.door(
    __name__,
    {
        "ramie.ops.attention.along_axes": "attend attended_axes causal_mask pairwise_mask",
        "ramie.ops.attention.checks": "check_dropout_rate check_inputs check_scores",
        "ramie.ops.attention.dot_product": (
            "apply_weights attention_weights causal_mask "
            "combine_masks dropout_factor dropped fused_attention make_attention_mask "
            "make_causal_mask"
        ),
        "ramie.ops.attention.decoding": "cached_positions_mask check_room update_cache",
        "ramie.ops.attention.rotary": (
            "check_table_sizes first_tables rotary_embedding rotary_tables shifted_positions "
            "turned_heads"
        ),
    },
)
