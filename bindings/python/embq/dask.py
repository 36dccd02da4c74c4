"""Score the rows of a Dask DataFrame: a task for each partition, whose states are merged in a tree.

Needs Dask and pyarrow, here and embq on the workers: ``pip install 'embq[dask]'``.

    from embq.dask import score

    result = score(df, embedding="embedding", label="label")
    result.silhouette
    result.rows.to_parquet("silhouettes")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _engines, _inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Literal

    import dask.dataframe
    import pandas

__all__ = ["score"]


def score(
    df: dask.dataframe.DataFrame,
    embedding: str = "embedding",
    label: str = "label",
    *,
    metric: str = "cosine",
    distance: str | None = None,
    metrics: str | Iterable[str] | None = None,
    temperature: float = 0.1,
    softmin: Literal["weighted", "lse", "hard", "mean"] = "weighted",
    softmax: Literal["lse", "hard"] = "lse",
    matrix: bool = False,
    intervals: bool = False,
    invalid: Literal["raise", "drop"] = "raise",
    missing: Literal["raise", "drop"] = "raise",
    ignore_label: Any = None,
    include: Any = None,
    exclude: Any = None,
    precision: Literal["float32", "float64"] | None = None,
    columns: Sequence[str] | None = None,
) -> _engines.EngineResult:
    """Score the embeddings in a data frame, in two passes over its partitions.

    Parameters
    ----------
    df : dask.dataframe.DataFrame
        The rows. They are read twice, and must be the same both times: persist or store what is computed anew.
    embedding : str, default="embedding"
        The column of vectors: lists or arrays, or the list type of pyarrow (``dtype_backend="pyarrow"``), which is read
        in place.
    label : str, default="label"
        The column of labels: strings, integers, booleans, or a categorical column.
    metric, distance, metrics, temperature, softmin, softmax, invalid, missing, ignore_label, include, exclude, precision
        As in `embq.partial.moments`.
    matrix : bool, default=False
        Whether to keep the mean distances between all classes as ``result.matrix``.
    intervals : bool, default=False
        Whether to find 95 % intervals, in a third pass: 1.96 standard errors to both sides.
    columns : sequence of str, default=None
        The columns that ``result.rows`` has before the scores; by default all but the vectors.

    Returns
    -------
    EngineResult
        As from `embq.score`. ``result.rows`` is a lazy DataFrame of the rows that take part, under their index, with
        their scores: ``a``, ``b``, ``silhouette``, ``soft_silhouette``, ``nearest_other``.

    Raises
    ------
    InputError
        Columns, options and rows that cannot be used, and rows that changed between the passes.

    Notes
    -----
    Tasks run where Dask runs them: on the cluster of the current client, or else in threads of this process. The tasks
    of a process share as many threads as its worker has.
    """
    from dask import base
    from dask.delayed import delayed

    compute: Any = base.compute
    whole: Any = df
    known = [str(name) for name in df.columns]
    kept = _engines.kept_columns(known, columns, embedding) if columns is not None else None
    for name in (embedding, label):
        if name not in known:
            raise _inputs.error(f"there is no column {name!r}", f"embedding= and label= name two of: {', '.join(known)}")
    if str(whole._meta.dtypes[embedding]).startswith(("string", "large_string")):
        raise _inputs.error(
            f"the column {embedding!r} is {whole._meta.dtypes[embedding]}: if it was one of arrays, Dask made text of it",
            'dask.config.set({"dataframe.convert-string": False}) before the data frame is made keeps the arrays',
        )
    frame = _engines.frame(
        embedding,
        label,
        intervals,
        metric=metric,
        distance=distance,
        metrics=metrics,
        temperature=temperature,
        softmin=softmin,
        softmax=softmax,
        invalid=invalid,
        missing=missing,
        ignore_label=ignore_label,
        include=include,
        exclude=exclude,
        precision=precision,
    )

    def reduced(work: Callable[..., bytes], *arguments: Any) -> bytes:
        partitions = whole[[embedding, label]].to_delayed()
        given = [delayed(argument) for argument in arguments]
        states = [delayed(work)(frame, number, partition, *given) for number, partition in enumerate(partitions)]
        while len(states) > 1:
            groups = [states[start : start + _engines.FAN_IN] for start in range(0, len(states), _engines.FAN_IN)]
            states = [delayed(_engines.join)(group) for group in groups]
        state: bytes = compute(states[0])[0]
        return state

    def rows(moments: bytes) -> dask.dataframe.DataFrame:
        names = _engines.kept_columns(known, None, embedding) if kept is None else kept
        scored: dask.dataframe.DataFrame = whole.map_partitions(
            _scored, frame, names, moments, meta=_empty(whole._meta, frame, names)
        )
        return scored

    def scores(moments: bytes) -> bytes:
        return reduced(_scores, moments)

    def influence(moments: bytes, scores: bytes) -> bytes:
        return reduced(_influence, moments, scores)

    return _engines.finish(reduced(_moments), scores, influence if intervals else None, matrix, rows)


def _threads() -> int | None:
    """The threads of this worker, which its tasks share."""
    try:
        from distributed import get_worker

        return int(get_worker().state.nthreads)
    except (ImportError, ValueError):
        return None


def _moments(frame: _engines.Frame, number: int, partition: pandas.DataFrame) -> bytes:
    return frame.moments(_batches(frame, partition), f"partition {number}", _threads())


def _scores(frame: _engines.Frame, number: int, partition: pandas.DataFrame, moments: bytes) -> bytes:
    return frame.scores(_batches(frame, partition), moments, f"partition {number}", _threads())


def _influence(frame: _engines.Frame, number: int, partition: pandas.DataFrame, moments: bytes, scores: bytes) -> bytes:
    return frame.influence(_batches(frame, partition), moments, scores, f"partition {number}", _threads())


def _batches(frame: _engines.Frame, partition: pandas.DataFrame) -> list[tuple[Any, Any]]:
    if len(partition) == 0:
        return []
    return [(_arrow(partition[frame.embedding]), _arrow(partition[frame.label]))]


def _arrow(column: pandas.Series[Any]) -> Any:
    import pyarrow as pa

    return pa.array(column, from_pandas=True)


def _scored(
    partition: pandas.DataFrame, frame: _engines.Frame, names: Sequence[str], moments: bytes, partition_info: Any = None
) -> pandas.DataFrame:
    import pandas

    place = f"partition {partition_info['number']}" if partition_info else "a partition"
    given = ((partition, *batch) for batch in _batches(frame, partition))
    for batch, columns, nearest in frame.rows(given, moments, place, _threads()):
        found = batch[list(names)].iloc[columns["row"]].copy()
        for name in _engines.SCORES:
            found[name] = columns[name]
        labels = nearest.to_pandas().to_numpy()
        found["nearest_other"] = pandas.Series(labels, index=found.index, dtype=_label_type(batch[frame.label]))
        return found
    return _empty(partition, frame, names)


def _label_type(labels: pandas.Series[Any]) -> Any:
    return labels.cat.categories.dtype if hasattr(labels.dtype, "categories") else labels.dtype


def _empty(partition: pandas.DataFrame, frame: _engines.Frame, names: Sequence[str]) -> pandas.DataFrame:
    import pandas

    found = partition[list(names)].iloc[:0].copy()
    for name in _engines.SCORES:
        found[name] = pandas.Series(dtype="float64")
    found["nearest_other"] = pandas.Series(dtype=_label_type(partition[frame.label]))
    return found
