"""Drop-in replacements for functions of scikit-learn."""

from __future__ import annotations

from . import _embq, _inputs
from ._functions import choice_parameters, measure_parameters, metric_name, wanted_parameters
from ._progress import watched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray


def _labels(labels: Any, rows: Any) -> _embq.Labels:
    """Labels, checked like scikit-learn checks their number."""
    found = _inputs.labels(labels, "labels")
    if isinstance(found, str):
        raise _inputs.error(f"labels: {labels!r} is not one label per row", "embq.score reads files")
    if rows is not None and len(found) != rows:
        raise _embq.InputError(f"Found input variables with inconsistent numbers of samples: [{rows}, {len(found)}]")
    if not 1 < found.classes() < len(found):
        raise _embq.InputError(
            f"Number of labels is {found.classes()}. Valid values are 2 to n_samples - 1 (inclusive)"
        )
    return found


def _evaluated(X: Any, labels: Any, metric: str, metrics: str, n_jobs: int | None) -> _embq.Evaluated:
    rows = _inputs.rows(X, "X")
    if isinstance(rows, str):
        raise _inputs.error(f"X: {X!r} is not a matrix", "embq.score reads files")
    count = len(rows[0]) if len(rows) == 3 else len(rows[0]) - 1
    with watched(n_jobs, None) as manner:
        return _embq.score(
            rows,
            _labels(labels, count),
            measure=measure_parameters(metric),
            wanted=wanted_parameters(metrics, k=1),
            choice=choice_parameters(),
            weights=None,
            batch=None,
            clusters=None,
            gallery=None,
            exclude_identical=False,
            manner=manner,
        )


def _check_diagonal(X: Any) -> None:
    import numpy as np

    diagonal = np.asarray(X.diagonal() if hasattr(X, "diagonal") else np.diagonal(np.asarray(X)))
    tolerance = np.finfo(diagonal.dtype).eps * 100 if diagonal.dtype.kind == "f" else 0
    if np.any(np.abs(diagonal) > tolerance):
        raise _embq.InputError(
            "The precomputed distance matrix contains non-zero elements on the diagonal. Use np.fill_diagonal(X, 0)."
        )


def silhouette_samples(
    X: Any, labels: Any, *, metric: str = "euclidean", n_jobs: int | None = None, **kwds: Any
) -> NDArray[np.float64]:
    """The silhouette of each row, as ``sklearn.metrics.silhouette_samples``.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), or (n_samples, n_samples) if metric == "precomputed"
        The rows, or their distances.
    labels : array-like of shape (n_samples,)
        The label of each row.
    metric : str, default="euclidean"
        Euclidean by default as in scikit-learn, unlike `score`; ``"cosine"`` and ``"sqeuclidean"`` take seconds where
        the others take hours. Also ``"manhattan"``, ``"cityblock"``, ``"l1"``, ``"l2"`` and ``"precomputed"``.
    n_jobs : int, default=None
        The number of threads, as in `score`.
    **kwds
        Not supported: distances have no parameters.

    Returns
    -------
    ndarray of shape (n_samples,)
        From -1 to 1; 0 for the only row of a class.

    Raises
    ------
    InputError
        A ``ValueError``, in the same cases as in scikit-learn.

    References
    ----------
    Rousseeuw (1987), "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis".

    Examples
    --------
    >>> import embq
    >>> embq.silhouette_samples([[0.0], [1.0], [4.0]], ["a", "a", "b"]).round(3).tolist()
    [0.75, 0.667, 0.0]
    """
    if kwds:
        raise _inputs.error(f"silhouette_samples: no parameter {next(iter(kwds))!r}", "distances have no parameters here")
    name = metric_name(metric)
    if name == "precomputed":
        _check_diagonal(X)
    silhouettes = _evaluated(X, labels, name, "silhouette", n_jobs).silhouettes()
    assert silhouettes is not None
    return silhouettes


def silhouette_score(
    X: Any,
    labels: Any,
    *,
    metric: str = "euclidean",
    sample_size: int | None = None,
    random_state: Any = None,
    n_jobs: int | None = None,
    **kwds: Any,
) -> float:
    """The mean silhouette, as ``sklearn.metrics.silhouette_score``.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), or (n_samples, n_samples) if metric == "precomputed"
        The rows, or their distances.
    labels : array-like of shape (n_samples,)
        The label of each row.
    metric : str, default="euclidean"
        As in `silhouette_samples`: Euclidean by default as in scikit-learn, unlike `score`.
    sample_size : int, default=None
        Use only this many rows and the distances between them. embq scores all rows in about the time of a sample.
    random_state : int or RandomState, default=None
        The seed of the sample, which is the same as scikit-learn's.
    n_jobs : int, default=None
        The number of threads, as in `score`.
    **kwds
        Not supported: distances have no parameters.

    Returns
    -------
    float
        From -1 to 1.

    Raises
    ------
    InputError
        A ``ValueError``, in the same cases as in scikit-learn.

    Examples
    --------
    >>> import embq
    >>> round(embq.silhouette_score([[0.0], [1.0], [4.0]], ["a", "a", "b"]), 3)
    0.472
    """
    if sample_size is not None:
        import numpy as np

        state = random_state if hasattr(random_state, "permutation") else np.random.RandomState(random_state)
        chosen = state.permutation(X.shape[0] if hasattr(X, "shape") else len(X))[:sample_size]
        X = X if hasattr(X, "shape") else np.asarray(X)
        X = X[chosen].T[chosen].T if metric == "precomputed" else X[chosen]
        labels = np.asarray(labels)[chosen]
    return float(silhouette_samples(X, labels, metric=metric, n_jobs=n_jobs, **kwds).mean())


def davies_bouldin_score(X: Any, labels: Any, *, n_jobs: int | None = None) -> float:
    """The Davies-Bouldin index, as ``sklearn.metrics.davies_bouldin_score``.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The rows.
    labels : array-like of shape (n_samples,)
        The label of each row.
    n_jobs : int, default=None
        The number of threads, as in `score`.

    Returns
    -------
    float
        At least 0, lower is better. A pair of classes with the same mean is skipped as in scikit-learn; in `score`, the
        index is then undefined.

    Raises
    ------
    InputError
        A ``ValueError``, in the same cases as in scikit-learn.

    References
    ----------
    Davies and Bouldin (1979), "A Cluster Separation Measure".

    Examples
    --------
    >>> import embq
    >>> embq.davies_bouldin_score([[0.0], [2.0], [8.0], [10.0]], [0, 0, 1, 1])
    0.25
    """
    value = _metric(X, labels, "davies_bouldin", n_jobs)
    return _davies_bouldin_of_distinct_means(X, labels) if value is None else value


def _davies_bouldin_of_distinct_means(X: Any, labels: Any) -> float:
    """As in scikit-learn, two classes with the same mean count as infinitely far apart."""
    import numpy as np

    X = np.asarray(X.todense() if hasattr(X, "todense") else X, dtype=np.float64)
    _, codes = np.unique(np.asarray(labels), return_inverse=True)
    means = np.array([X[codes == code].mean(axis=0) for code in range(codes.max() + 1)])
    spread = np.array([np.linalg.norm(X[codes == code] - mean, axis=1).mean() for code, mean in enumerate(means)])
    worst = []
    for code, mean in enumerate(means):
        apart = np.linalg.norm(means - mean, axis=1)
        apart[apart == 0] = np.inf
        worst.append(np.max((spread[code] + spread) / apart))
    return float(np.mean(worst))


def calinski_harabasz_score(X: Any, labels: Any, *, n_jobs: int | None = None) -> float:
    """The Calinski-Harabasz index, as ``sklearn.metrics.calinski_harabasz_score``.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The rows.
    labels : array-like of shape (n_samples,)
        The label of each row.
    n_jobs : int, default=None
        The number of threads, as in `score`.

    Returns
    -------
    float
        At least 0, higher is better. 1 if every row equals its class mean, as in scikit-learn; in `score`, the index is
        then undefined.

    Raises
    ------
    InputError
        A ``ValueError``, in the same cases as in scikit-learn.

    References
    ----------
    Calinski and Harabasz (1974), "A dendrite method for cluster analysis".

    Examples
    --------
    >>> import embq
    >>> embq.calinski_harabasz_score([[0.0], [2.0], [8.0], [10.0]], [0, 0, 1, 1])
    32.0
    """
    value = _metric(X, labels, "calinski_harabasz", n_jobs)
    return 1.0 if value is None else value


def _metric(X: Any, labels: Any, name: str, n_jobs: int | None) -> float | None:
    import json

    found = json.loads(_evaluated(X, labels, "sqeuclidean", name, n_jobs).json())
    return found["metrics"][name]  # type: ignore[no-any-return]
