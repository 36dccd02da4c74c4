"""How well does a space of embeddings separate the classes of its rows?

    >>> import numpy as np
    >>> import embq
    >>> X = np.array([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.3, 1.0]])
    >>> r = embq.score(X, ["cat", "cat", "dog", "dog"])
    >>> round(r.silhouette, 4)
    0.9823

`score` gives every metric by its name, with tables of the classes and rows; `compare` tells whether one embedding is better
than another, `similarity` how alike two spaces are, `suspects` which rows are likely mislabelled, and `silhouette_loss` has the gradient. `silhouette_samples`,
`silhouette_score`, `davies_bouldin_score` and `calinski_harabasz_score` take the place of scikit-learn's.

The numbers are those of the program ``embq``, which comes with the package, to the last bit.
"""

from ._drop_ins import (
    calinski_harabasz_score,
    davies_bouldin_score,
    silhouette_samples,
    silhouette_score,
)
from ._embq import InputError, __version__
from ._functions import compare, read_json, score, silhouette_loss, similarity, suspects
from ._results import Comparison, Difference, Result, Suspects, Table

__all__ = [
    "Comparison",
    "Difference",
    "InputError",
    "Result",
    "Suspects",
    "Table",
    "__version__",
    "calinski_harabasz_score",
    "compare",
    "davies_bouldin_score",
    "read_json",
    "score",
    "silhouette_loss",
    "silhouette_samples",
    "silhouette_score",
    "similarity",
    "suspects",
]
