"""Measure how well embeddings separate the classes of their rows.

    >>> import numpy as np
    >>> import embq
    >>> X = np.array([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.3, 1.0]])
    >>> r = embq.score(X, ["cat", "cat", "dog", "dog"])
    >>> round(r.silhouette, 4)
    0.9823

`score` computes metrics, with tables of the classes and rows; `compare` tells whether one embedding is better than
another, `similarity` how alike two spaces are, `drift` whether new data has moved away from old, `suspects` finds rows
that are likely mislabelled, and `silhouette_loss` returns a loss with its gradient. `silhouette_samples`, `silhouette_score`, `davies_bouldin_score` and
`calinski_harabasz_score` are drop-in replacements for scikit-learn's.

All numbers are bitwise identical to those of the program ``embq``, which comes with the package.
"""

from ._drop_ins import (
    calinski_harabasz_score,
    davies_bouldin_score,
    silhouette_samples,
    silhouette_score,
)
from ._embq import InputError, __version__
from ._functions import compare, drift, read_json, score, silhouette_loss, similarity, suspects
from ._results import Comparison, Difference, Drift, Result, Suspects, Table

__all__ = [
    "Comparison",
    "Difference",
    "Drift",
    "InputError",
    "Result",
    "Suspects",
    "Table",
    "__version__",
    "calinski_harabasz_score",
    "compare",
    "davies_bouldin_score",
    "drift",
    "read_json",
    "score",
    "silhouette_loss",
    "silhouette_samples",
    "silhouette_score",
    "similarity",
    "suspects",
]
