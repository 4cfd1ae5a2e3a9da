"""The table of layers. A row here gives a layer every test in this folder and its parity tests."""

from tests.families import (
    attention_rows,
    conv_rows,
    linear_rows,
    norm_rows,
    recurrent_rows,
    stateless_rows,
)

ROWS = (
    *linear_rows.ROWS,
    *conv_rows.ROWS,
    *norm_rows.ROWS,
    *attention_rows.ROWS,
    *recurrent_rows.ROWS,
    *stateless_rows.ROWS,
)
