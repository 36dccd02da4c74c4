"""The public functions, which document their parameters and convert them for the extension."""

from __future__ import annotations

import os

from . import _embq, _inputs
from ._progress import watched
from ._results import Comparison, Drift, Result, Suspects

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Literal

    import numpy as np
    from numpy.typing import NDArray

_METRIC_NAMES = {"l2": "euclidean", "l1": "manhattan", "cityblock": "manhattan"}


def metric_name(metric: str, distance: str | None = None) -> str:
    """The distance named by `metric` or its alias."""
    name = distance if distance is not None else metric
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _inputs.error(
            f"metric: {name!r} is not the name of a distance",
            'compute the distances yourself and pass them with metric="precomputed"',
        )
    return _METRIC_NAMES.get(name, name)


def names(value: Any) -> list[str]:
    """One name or several, as text."""
    if value is None:
        return []
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        value = [value]
    return [str(bool(item)).lower() if type(item).__name__ in ("bool", "bool_") else str(item) for item in value]


def measure_parameters(
    metric: str,
    distance: str | None = None,
    temperature: float | str = 0.1,
    softmin: str = "weighted",
    softmax: str = "lse",
    precision: str | None = None,
    random_state: int | None = 0,
) -> dict[str, Any]:
    """The parameters of distances and scores, as the extension takes them."""
    if isinstance(temperature, str) and temperature != "auto":
        raise _inputs.error(f"temperature: unknown value {temperature!r}", 'a number from 1e-6 to 1e6, or "auto"')
    return {
        "metric": metric_name(metric, distance),
        "temperature": None if isinstance(temperature, str) else float(temperature),
        "softmin": softmin,
        "softmax": softmax,
        "precision": precision_name(precision),
        "random_state": _seed(random_state),
    }


def precision_name(precision: str | None) -> str | None:
    """The program's name of a precision."""
    return {"float32": "f32", "float64": "f64"}.get(str(precision), precision)


def _seed(random_state: Any) -> int:
    if random_state is None:
        return 0
    if hasattr(random_state, "randint"):
        return int(random_state.randint(2**31 - 1))
    if hasattr(random_state, "integers"):
        return int(random_state.integers(2**63 - 1))
    return int(random_state)


def wanted_parameters(
    metrics: Any = "usual",
    k: Any = (1, 5, 10),
    sample: int | None = None,
    batch_size: int | None = None,
    intervals: bool = False,
    class_intervals: bool = False,
    matrix: bool = False,
    hash: bool = False,
    probe_alpha: float = 1.0,
    folds: int = 5,
    within: float | None = None,
    clustering: str = "kmeans",
) -> dict[str, Any]:
    """The parameters of what to compute, as the extension takes them."""
    return {
        "metrics": [part for name in names(metrics) for part in name.split(",")],
        "k": [int(k)] if not hasattr(k, "__iter__") else [int(number) for number in k],
        "sample": sample,
        "probe_alpha": float(probe_alpha),
        "folds": int(folds),
        "clustering": clustering,
        "batch_size": batch_size,
        "intervals": bool(intervals),
        "class_intervals": bool(class_intervals),
        "within": None if within is None else float(within),
        "matrix": bool(matrix),
        "hash": bool(hash),
    }


def _dropped(parameter: str, value: str) -> bool:
    if value not in ("raise", "drop"):
        raise _inputs.error(f"{parameter}: unknown value {value!r}", f'{parameter}="raise" stops, {parameter}="drop" leaves the rows out')
    return value == "drop"


def choice_parameters(
    invalid: str = "raise",
    missing: str = "raise",
    ignore_label: Any = None,
    include: Any = None,
    exclude: Any = None,
    min_class_size: int | None = None,
    subsample: int | None = None,
) -> dict[str, Any]:
    """The parameters of the choice of rows, as the extension takes them."""
    return {
        "ignore_label": names(ignore_label),
        "include": names(include),
        "exclude": names(exclude),
        "drop_invalid": _dropped("invalid", invalid),
        "drop_null_labels": _dropped("missing", missing),
        "min_class_size": min_class_size,
        "subsample": subsample,
    }


def score(
    X: Any,
    y: Any = None,
    *,
    metric: str = "cosine",
    distance: str | None = None,
    metrics: str | Iterable[str] | None = None,
    k: int | Iterable[int] = (1, 5, 10),
    temperature: float | Literal["auto"] = 0.1,
    softmin: Literal["weighted", "lse", "hard", "mean"] = "weighted",
    softmax: Literal["lse", "hard"] = "lse",
    gallery: tuple[Any, Any] | None = None,
    exclude_identical: bool = False,
    batch: Any = None,
    clusters: Any = None,
    batch_size: int | None = None,
    sample: int | None = None,
    probe_alpha: float = 1.0,
    folds: int = 5,
    clustering: Literal["kmeans", "mteb"] = "kmeans",
    intervals: bool = False,
    class_intervals: bool = False,
    matrix: bool = False,
    sample_weight: Any = None,
    invalid: Literal["raise", "drop"] = "raise",
    missing: Literal["raise", "drop"] = "raise",
    ignore_label: Any = None,
    include: Any = None,
    exclude: Any = None,
    min_class_size: int | None = None,
    subsample: int | None = None,
    within: float | None = None,
    precision: Literal["float32", "float64"] | None = None,
    random_state: int | None = 0,
    hash: bool = False,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> Result:
    """Score embeddings: how well do they separate the classes of their rows?

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), or path
        The embeddings: a NumPy or CuPy array, a torch tensor, a polars or pandas table, a polars ``Array`` or Arrow
        ``FixedSizeList`` column, a scipy sparse matrix, or lists. C-contiguous float32 and float64 in memory are read
        in place, anything else is converted one block of rows at a time. With ``metric="precomputed"``, distances of
        shape (n_samples, n_samples). A path is read as by the program, for example ``"emb.parquet"`` or
        ``"data.csv:f0..f127"``.
    y : array-like of shape (n_samples,), or path, default=None
        The label of each row: integers, strings, booleans, or a categorical column. Also a path, or a column of the
        file of ``X``, as in the program. Without labels, metrics that need none are computed.
    metric : str, default="cosine"
        ``"cosine"``, ``"euclidean"``, ``"sqeuclidean"``, ``"manhattan"``, ``"hamming"`` (share of bits that differ) or
        ``"precomputed"``.
    distance : str, default=None
        The same as ``metric``, under the name of the program's option.
    metrics : str or iterable of str, default=None
        Names of metrics and families (listed by ``embq metrics``): ``"usual"``, the default, means the silhouettes and
        separation, ``"label_free"``, the default without ``y``, everything that needs no labels; others are
        ``"retrieval"``, ``"verification"``, ``"validity"``, ``"spectrum"``, ``"contrastive"``, ``"collapse"``,
        ``"single_cell"`` and ``"all"``.
    k : int or iterable of int, default=(1, 5, 10)
        Numbers of neighbours, or of components, for the metrics that need one.
    temperature : float or "auto", default=0.1
        The temperature of the soft silhouette in units of the distance, from 1e-6 to 1e6; ``"auto"`` finds the one at
        which the soft minimum averages over 2 classes.
    softmin : {"weighted", "lse", "hard", "mean"}, default="weighted"
        The soft minimum over competing classes.
    softmax : {"lse", "hard"}, default="lse"
        The smooth maximum of a and b.
    gallery : tuple of (X, y), default=None
        The rows in which retrieval metrics search for neighbours, instead of ``X`` itself.
    exclude_identical : bool, default=False
        Whether to exclude a gallery row from the neighbours of a query if it is the query itself.
    batch : array-like of shape (n_samples,), default=None
        The batch of each row, for ``asw_batch`` and ``bras``.
    clusters : array-like of shape (n_samples,), default=None
        The cluster of each row, for the metrics of ``clustering``, instead of clusters by k-means.
    batch_size : int, default=None
        If given, also compute the loss in shuffled batches of this many rows, as in training.
    sample : int, default=None
        Rows from which ``uniformity`` takes its pairs; all by default.
    probe_alpha : float, default=1.0
        Penalty of the ridge probe, above 0.
    folds : int, default=5
        Folds of the linear probe.
    clustering : {"kmeans", "mteb"}, default="kmeans"
        How rows are clustered for the metrics of ``clustering``: k-means of all rows, or the mean over ten draws of 16,384
        rows, each by k-means on mini-batches, as in MTEB's clustering tasks.
    intervals : bool, default=False
        Whether to compute 95 % intervals of silhouettes, mean distances and accuracies of probes.
    class_intervals : bool, default=False
        Whether to compute intervals for every class even if that takes long.
    matrix : bool, default=False
        Whether to keep the mean distances between all classes as ``r.matrix``.
    sample_weight : array-like of shape (n_samples,), default=None
        A positive weight per row.
    invalid : {"raise", "drop"}, default="raise"
        What to do with rows with NaN or infinite values, and with zero vectors under cosine.
    missing : {"raise", "drop"}, default="raise"
        What to do with rows without a label (None, NaN, NA, empty text).
    ignore_label, include, exclude : label or iterable of labels, default=None
        Labels to ignore; the only labels to include; labels to exclude, which must exist.
    min_class_size : int, default=None
        Leave out classes with fewer rows.
    subsample : int, default=None
        Score only this many rows, sampled by class; their distances are still to all rows. Means over rows then have
        intervals that say how far those of all rows can be.
    within : float, default=None
        Score as many rows as it takes for the 95 % interval of the silhouette to be within this of it, such as 0.001.
    precision : {"float32", "float64"}, default=None
        The precision of products; by default float64 for float64 and wide integers, and float32 otherwise. Sums are
        always float64.
    random_state : int, default=0
        The seed of the shuffle, the sample, the subsample and the intervals.
    hash : bool, default=False
        Whether to include a hash of the embeddings in the result.
    n_jobs : int, default=None
        The number of threads; ``None`` means the environment variable ``EMBQ_THREADS`` or else all cores, and -1 all
        cores. The result is the same for any number.
    progress : bool, default=None
        Whether to show a progress bar (by tqdm); by default if standard error is a terminal or a notebook.

    Returns
    -------
    Result
        All metrics by name, and tables of classes and rows.

    Raises
    ------
    InputError
        A ``ValueError`` that says what is wrong, where, and what to do about it.
    KeyboardInterrupt
        Within a second of Ctrl-C.

    See Also
    --------
    silhouette_score : Drop-in replacement for scikit-learn's function, with the same arithmetic.

    References
    ----------
    Rousseeuw (1987), "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis". Every
    metric is defined in docs/metrics.md.

    Examples
    --------
    >>> import numpy as np
    >>> import embq
    >>> X = np.array([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.3, 1.0]])
    >>> r = embq.score(X, ["cat", "cat", "dog", "dog"])
    >>> round(r.silhouette, 4)
    0.9823
    >>> r.classes["label"].tolist()
    ['cat', 'dog']
    >>> r = embq.score(X, ["cat", "cat", "dog", "dog"], metrics=["silhouette", "knn_accuracy"], k=1)
    >>> r["knn_accuracy@1"]
    1.0
    >>> round(embq.score(X, metrics="health").norm_mean, 4)
    1.0185
    """
    if within is not None and subsample is not None:
        raise _inputs.error("within and subsample both say how many rows are scored", "leave one of them out")
    measure = measure_parameters(metric, distance, temperature, softmin, softmax, precision, random_state)
    with watched(n_jobs, progress) as manner:
        raw = _embq.score(
            _inputs.rows(X, "X"),
            None if y is None else _inputs.labels(y, "y"),
            measure=measure,
            wanted=wanted_parameters(metrics, k, sample, batch_size, intervals, class_intervals, matrix, hash, probe_alpha, folds, within, clustering),
            choice=choice_parameters(invalid, missing, ignore_label, include, exclude, min_class_size, subsample),
            weights=_inputs.weights(sample_weight),
            batch=None if batch is None else _inputs.labels(batch, "batch"),
            clusters=None if clusters is None else _inputs.labels(clusters, "clusters"),
            gallery=None if gallery is None else _gallery(gallery),
            exclude_identical=exclude_identical,
            manner=manner,
        )
    return Result(raw)


def _gallery(gallery: Any) -> tuple[Any, Any]:
    try:
        X, y = gallery
    except (TypeError, ValueError):
        raise _inputs.error("gallery: embeddings and labels belong to it", "gallery=(X_gallery, y_gallery)") from None
    return _inputs.rows(X, "gallery"), _inputs.labels(y, "gallery labels")


def compare(
    checkpoints: Sequence[Any],
    y: Any,
    *,
    names: Sequence[str] | None = None,
    metric: str = "cosine",
    distance: str | None = None,
    metrics: str | Iterable[str] = "usual",
    k: int | Iterable[int] = (1, 5, 10),
    temperature: float | Literal["auto"] = 0.1,
    softmin: Literal["weighted", "lse", "hard", "mean"] = "weighted",
    softmax: Literal["lse", "hard"] = "lse",
    batch_size: int | None = None,
    sample_weight: Any = None,
    invalid: Literal["raise", "drop"] = "raise",
    missing: Literal["raise", "drop"] = "raise",
    ignore_label: Any = None,
    include: Any = None,
    exclude: Any = None,
    min_class_size: int | None = None,
    allow_mismatch: bool = False,
    similarity: bool = False,
    precision: Literal["float32", "float64"] | None = None,
    random_state: int | None = 0,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Compare embeddings of the same rows: is one better than another, or could it be chance?

    Parameters
    ----------
    checkpoints : sequence of array-like of shape (n_samples, n_features)
        The baseline, then the candidates. They may have different numbers of features.
    y : array-like of shape (n_samples,)
        The label of each row.
    names : sequence of str, default=None
        The names of the checkpoints; by default "baseline", "candidate" or "candidate 1", ...
    allow_mismatch : bool, default=False
        Whether to compare checkpoints whose rows differ.
    similarity : bool, default=False
        Whether to measure how similar each pair of checkpoints is, as `embq.similarity` does: `Comparison.similarity`.
    metric, distance, metrics, k, temperature, softmin, softmax, batch_size, sample_weight, invalid, missing, \
ignore_label, include, exclude, min_class_size, precision, random_state, n_jobs, progress
        As in `score`. A temperature of ``"auto"`` is found on the baseline.

    Returns
    -------
    Comparison
        For each candidate and metric, the difference, its 95 % interval, p-values and a verdict.

    Raises
    ------
    InputError
        As in `score`, or if the checkpoints cannot be compared.

    See Also
    --------
    score : Evaluates a single one.

    Notes
    -----
    Differences are paired row by row; p-values come from random sign flips, corrected by Holm's method for the number
    of candidates. See docs/comparing.md for how they are computed and what they mean.

    Examples
    --------
    >>> import numpy as np
    >>> import embq
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 50)
    >>> noise = rng.normal(size=(100, 8))
    >>> main = noise + 2 * np.eye(8)[y]
    >>> new = noise + 5 * np.eye(8)[y]
    >>> c = embq.compare([main, new], y, names=["main", "new"])
    >>> c["new"]["silhouette"].verdict
    'better'
    >>> c.best["silhouette"]
    'new'
    """
    if isinstance(checkpoints, (str, os.PathLike)) or len(checkpoints) < 2:
        raise _inputs.error("compare needs a baseline and at least one candidate", "embq.compare([X0, X1], y)")
    count = len(checkpoints)
    if names is None:
        names = ["baseline"] + (["candidate"] if count == 2 else [f"candidate {number}" for number in range(1, count)])
    names = [str(name) for name in names]
    if len(names) != count or len(set(names)) != count:
        raise _inputs.error(f"names: {len(names)} names for {count} checkpoints, or one name twice", "give each checkpoint a different name")
    with watched(n_jobs, progress) as manner:
        raw = _embq.compare(
            [_inputs.rows(X, name) for X, name in zip(checkpoints, names)],
            names,
            _inputs.labels(y, "y"),
            measure=measure_parameters(metric, distance, temperature, softmin, softmax, precision, random_state),
            wanted=wanted_parameters(metrics, k, batch_size=batch_size),
            choice=choice_parameters(invalid, missing, ignore_label, include, exclude, min_class_size),
            weights=_inputs.weights(sample_weight),
            allow_mismatch=allow_mismatch,
            similarity=similarity,
            manner=manner,
        )
    return Comparison(raw)


def suspects(
    X: Any,
    y: Any,
    *,
    metric: str = "cosine",
    distance: str | None = None,
    neighbours: int = 10,
    ids: Any = None,
    text: Any = None,
    invalid: Literal["raise", "drop"] = "raise",
    missing: Literal["raise", "drop"] = "raise",
    ignore_label: Any = None,
    include: Any = None,
    exclude: Any = None,
    min_class_size: int | None = None,
    precision: Literal["float32", "float64"] | None = None,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> Suspects:
    """Find the rows that are likely mislabelled, from their neighbours and their distances to all classes.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), or path
        The embeddings, as in `score`.
    y : array-like of shape (n_samples,), or path
        The label of each row.
    neighbours : int, default=10
        The number of nearest neighbours that vote.
    ids, text : array-like of shape (n_samples,), default=None
        The ids and texts of the rows, shown in the table.
    metric, distance, invalid, missing, ignore_label, include, exclude, min_class_size, precision, n_jobs, progress
        As in `score`.

    Returns
    -------
    Suspects
        A table of rows, most suspicious first, with the label that each most resembles.

    Raises
    ------
    InputError
        As in `score`.

    Notes
    -----
    See docs/suspects.md for how rows are ranked, and how many flipped labels are found on real sets.

    Examples
    --------
    >>> import numpy as np
    >>> import embq
    >>> X = np.array([[1.0, 0.1], [1.0, 0.2], [1.0, 0.0], [0.1, 1.0], [0.3, 1.0], [0.0, 1.0]])
    >>> found = embq.suspects(X, ["cat", "cat", "dog", "dog", "dog", "dog"], neighbours=2)
    >>> found["row"].tolist(), found["suggested"].tolist()
    ([2], ['cat'])
    """
    if int(neighbours) < 1:
        raise _inputs.error(f"neighbours is {neighbours}", "use at least one neighbour")
    with watched(n_jobs, progress) as manner:
        raw = _embq.suspects(
            _inputs.rows(X, "X"),
            _inputs.labels(y, "y"),
            measure=measure_parameters(metric, distance, precision=precision),
            choice=choice_parameters(invalid, missing, ignore_label, include, exclude, min_class_size),
            neighbours=int(neighbours),
            ids=None if ids is None else _inputs.labels(ids, "ids"),
            text=None if text is None else _inputs.labels(text, "text"),
            manner=manner,
        )
    return Suspects.of_raw(raw)


def similarity(
    X: Any,
    Y: Any,
    *,
    metric: str = "cosine",
    distance: str | None = None,
    random_state: int | None = 0,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> dict[str, float]:
    """How similar two embeddings of the same rows are, whatever their dimensions.

    Two models can separate classes equally well and still be different spaces: vectors of one are then of no use in an
    index of the other.

    Parameters
    ----------
    X, Y : array-like of shape (n_samples, n_features), or path
        The embeddings. Row i of both is the same sample; the numbers of features may differ.
    metric, distance : str, default="cosine"
        The distance by which rows are neighbours, as in `score`. The other numbers do not depend on it.
    random_state : int, default=0
        Draws the rows whose neighbours are compared, where there are more than 20,000 rows.
    n_jobs, progress
        As in `score`.

    Returns
    -------
    dict of str to float
        ``linear_cka``, ``debiased_cka``, ``procrustes``, ``linear_regression_r2`` (the share of the variance of X that a linear
        map from Y reproduces) and ``neighbour_overlap@k`` for k of 1, 5 and 10. NaN where a number is undefined.

    Raises
    ------
    InputError
        Embeddings of different numbers of rows, or with rows that cannot be used.

    See Also
    --------
    compare : Which of them separates the classes better.

    Notes
    -----
    docs/comparing.md has the definitions and their sources. No matrix of all pairs is built.

    Examples
    --------
    >>> import numpy as np
    >>> import embq
    >>> X = np.random.default_rng(0).normal(size=(50, 4))
    >>> rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))
    >>> found = embq.similarity(X, X @ rotation)
    >>> round(found["linear_cka"], 9), round(found["neighbour_overlap@5"], 9)
    (1.0, 1.0)
    """
    with watched(n_jobs, progress) as manner:
        found = _embq.similarity(
            _inputs.rows(X, "X"),
            _inputs.rows(Y, "Y"),
            measure=measure_parameters(metric, distance, random_state=random_state),
            manner=manner,
        )
    return {name: float("nan") if value is None else value for name, value in found}


def drift(
    reference: Any,
    current: Any,
    y_reference: Any = None,
    y_current: Any = None,
    *,
    metrics: str | Iterable[str] = "all",
    neighbours: int = 5,
    permutations: int = 500,
    subset: int | None = None,
    intervals: bool | None = None,
    invalid: Literal["raise", "drop"] = "raise",
    missing: Literal["raise", "drop"] = "raise",
    ignore_label: Any = None,
    include: Any = None,
    exclude: Any = None,
    min_class_size: int | None = None,
    precision: Literal["float32", "float64"] | None = None,
    random_state: int | None = 0,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> Drift:
    """How far one set of embeddings has moved from another: production data from training data, generated samples from real ones.

    The sets come from the same encoder. They need not have the same number of rows, nor labels. Rows are compared as they
    are given, by Euclidean distance.

    Parameters
    ----------
    reference, current : array-like of shape (n_samples, n_features), path, or tuple of (mu, sigma)
        The embeddings, as in `score`, or in place of them their mean of shape (n_features,) and covariance of shape
        (n_features, n_features); also the path of an ``.npz`` file that holds both under these names, as pytorch-fid
        writes it. Numbers of single rows are then undefined.
    y_reference, y_current : array-like of shape (n_samples,), or path, default=None
        The labels of both sets, to compare them class by class.
    metrics : str or iterable of str, default="all"
        The numbers to compute: ``"frechet_distance"``, ``"kid"``, ``"mmd_rbf"``, ``"energy_distance"``, ``"precision"``,
        ``"recall"``, ``"density"``, ``"coverage"``, ``"domain_auc"``, ``"mean_shift"``, ``"norm_shift"``, ``"psi"``.
    neighbours : int, default=5
        The number of nearest neighbours on which precision, recall, density and coverage are based.
    permutations : int, default=500
        The number of random divisions of all rows behind each p-value; 0 for no p-values.
    subset : int, default=None
        Use only this many random rows of each set for numbers of pairs of rows.
    intervals : bool, default=None
        Whether to compute the interval of the Fréchet distance; by default up to 1,024 features.
    ignore_label, include, exclude, min_class_size : default=None
        As in `score`; with labels only.
    invalid, missing, precision, random_state, n_jobs, progress
        As in `score`. ``random_state`` seeds the divisions, the blocks of the interval and the subsets.

    Returns
    -------
    Drift
        The numbers by name, with tests, a verdict and a table of classes.

    Raises
    ------
    InputError
        As in `score`, or if the sets cannot be compared.

    See Also
    --------
    compare, similarity : For embeddings of the same rows by different models.

    Notes
    -----
    docs/drift.md has the definitions, and how often verdicts are right.

    Examples
    --------
    >>> import numpy as np
    >>> import embq
    >>> rng = np.random.default_rng(0)
    >>> training, production = rng.normal(size=(300, 8)), rng.normal(size=(200, 8)) + 0.5
    >>> found = embq.drift(training, production)
    >>> found.verdict
    'drift'
    >>> found.mean_shift > 0.3, found["domain_auc"] > 0.7
    (True, True)
    """
    if (y_reference is None) != (y_current is None):
        raise _inputs.error("labels are given for one set only", "embq.drift(reference, current, y_reference, y_current)")
    labels = None if y_reference is None else (_inputs.labels(y_reference, "y_reference"), _inputs.labels(y_current, "y_current"))
    if labels is None:
        given = {"ignore_label": ignore_label, "include": include, "exclude": exclude, "min_class_size": min_class_size}
        for name, value in given.items():
            if value is not None:
                raise _inputs.error(f"{name} needs labels", "give y_reference and y_current")
    for name, value, least in (("neighbours", neighbours, 1), ("permutations", permutations, 0), ("subset", subset, 2)):
        if value is not None and int(value) < least:
            raise _inputs.error(f"{name} is {value}", f"use at least {least}")
    with watched(n_jobs, progress) as manner:
        raw = _embq.drift(
            _inputs.rows_or_statistics(reference, "reference"),
            _inputs.rows_or_statistics(current, "current"),
            labels,
            wanted={
                "metrics": [part for name in names(metrics) for part in name.split(",")],
                "neighbours": int(neighbours),
                "permutations": int(permutations),
                "subset": None if subset is None else int(subset),
                "intervals": intervals,
                "precision": precision_name(precision),
                "random_state": _seed(random_state),
            },
            choice=choice_parameters(invalid, missing, ignore_label, include, exclude, min_class_size),
            manner=manner,
        )
    return Drift(raw)


def silhouette_loss(
    X: Any,
    y: Any,
    *,
    temperature: float | Literal["auto"] = 0.1,
    metric: str = "cosine",
    distance: str | None = None,
    softmin: Literal["weighted", "lse", "hard", "mean"] = "weighted",
    softmax: Literal["lse", "hard"] = "lse",
    invalid: Literal["raise", "drop"] = "raise",
    missing: Literal["raise", "drop"] = "raise",
    ignore_label: Any = None,
    precision: Literal["float32", "float64"] | None = None,
    n_jobs: int | None = None,
    progress: bool | None = None,
) -> tuple[float, NDArray[np.float32] | NDArray[np.float64]]:
    """The silhouette loss, 1 minus the mean soft silhouette, and its exact gradient.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The embeddings.
    y : array-like of shape (n_samples,)
        The label of each row.
    temperature : float or "auto", default=0.1
        The temperature in units of the distance, from 1e-6 to 1e6.
    metric : {"cosine", "sqeuclidean", "euclidean"}, default="cosine"
        The distance; the others have no gradient.
    distance, softmin, softmax, invalid, missing, ignore_label, precision, n_jobs, progress
        As in `score`.

    Returns
    -------
    loss : float
        From 0 (well separated) to 2.
    gradient : ndarray of shape (n_samples, n_features)
        The derivative of the loss with respect to ``X``, in the precision of the products; 0 for rows left out.

    Raises
    ------
    InputError
        As in `score`.

    Notes
    -----
    docs/gradients.md has the formulas. For PyTorch, use the losses in ``embq.torch``.

    Examples
    --------
    >>> import numpy as np
    >>> import embq
    >>> X = np.array([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.3, 1.0]])
    >>> loss, gradient = embq.silhouette_loss(X, ["cat", "cat", "dog", "dog"])
    >>> gradient.shape
    (4, 2)
    >>> step = X - 0.1 * gradient
    >>> embq.silhouette_loss(step, ["cat", "cat", "dog", "dog"])[0] < loss
    True
    """
    with watched(n_jobs, progress) as manner:
        return _embq.silhouette_loss(
            _inputs.rows(X, "X"),
            _inputs.labels(y, "y"),
            measure=measure_parameters(metric, distance, temperature, softmin, softmax, precision),
            choice=choice_parameters(invalid, missing, ignore_label),
            manner=manner,
        )


def read_json(source: Any) -> Result | Comparison | Drift | Suspects:
    """Read a result written by `Result.to_json` or the program.

    Parameters
    ----------
    source : path or str
        A file, or the JSON itself.

    Returns
    -------
    Result, Comparison, Drift or Suspects
        The result in the JSON. A `Result` then has no rows.

    Raises
    ------
    InputError
        If the source is not a result of embq.

    Examples
    --------
    >>> import numpy as np
    >>> import embq
    >>> r = embq.score(np.eye(4) + 1, [0, 0, 1, 1])
    >>> embq.read_json(r.to_json()).silhouette == r.silhouette
    True
    """
    import json

    text = str(source)
    if isinstance(source, os.PathLike) or not text.lstrip().startswith("{"):
        with open(source, encoding="utf-8") as file:
            text = file.read()
    try:
        kind = json.loads(text)["kind"]
    except (ValueError, KeyError, TypeError) as problem:
        raise _inputs.error(f"this is not a result of embq: {problem!r}", "results are written by r.to_json(), or by embq score -o result.json") from None
    if kind == "compare":
        return Comparison(_embq.Compared.read(text))
    if kind == "drift":
        return Drift(_embq.Drifted.read(text))
    if kind == "suspects":
        return Suspects.of_raw(_embq.Suspected.read(text))
    if kind == "set":
        raise _inputs.error("this file holds the results of several labellings", 'json.load(file)["results"] is a list of them')
    return Result(_embq.Evaluated.read(text))
