"""How good the breaks are: precision, recall, and F1, which joins the two."""

import numpy as np


def scores(found: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Compare tags ``[words, length]`` with those that are right.

    Returns:
      In a hundred: `precision` (breaks found that are right), `recall` (right breaks that are
      found), their harmonic mean `f1`, and `words` with no fault at all.
    """
    both = int(np.sum(found & right))
    precision = both / max(int(found.sum()), 1)
    recall = both / max(int(right.sum()), 1)
    return {
        "precision": 100 * precision,
        "recall": 100 * recall,
        "f1": 200 * precision * recall / max(precision + recall, 1e-9),
        "words": 100 * float(np.mean(np.all(found == right, axis=1))),
    }
