"""Score the rows of a Spark DataFrame, wherever they lie: none of them is shuffled or collected.

Needs PySpark 3.5 or later, here and embq on the workers: ``pip install 'embq[spark]'``.

    from embq.spark import score

    result = score(df, embedding="embedding", label="label")
    result.silhouette
    result.rows.write.parquet("silhouettes")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _engines
from ._batches import batches_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Literal

    from pyspark.sql import DataFrame

__all__ = ["score"]

_STATES = "part int, state binary"


def score(
    df: DataFrame,
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
    depth: int = 2,
) -> _engines.EngineResult:
    """Score the embeddings in a data frame, in two passes over its partitions.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        The rows. They are read twice, and must be the same both times: cache or store what is computed anew.
    embedding : str, default="embedding"
        The column of vectors: an array of float or double, or a vector of Spark ML.
    label : str, default="label"
        The column of labels: strings, integers, booleans, or whole numbers as double.
    metric, distance, metrics, temperature, softmin, softmax, invalid, missing, ignore_label, include, exclude, precision
        As in `embq.partial.moments`.
    matrix : bool, default=False
        Whether to keep the mean distances between all classes as ``result.matrix``.
    intervals : bool, default=False
        Whether to find 95 % intervals, in a third pass: 1.96 standard errors to both sides.
    columns : sequence of str, default=None
        The columns that ``result.rows`` has before the scores; by default all but the vectors.
    depth : int, default=2
        The levels of the tree in which states are merged, each of them by the 16. With 1 the driver takes the states
        of all partitions; with more than some thousand partitions and thousands of classes, 3 keeps what it takes
        below ``spark.driver.maxResultSize``.

    Returns
    -------
    EngineResult
        As from `embq.score`. ``result.rows`` is a lazy DataFrame of the rows that take part, with their scores: ``a``,
        ``b``, ``silhouette``, ``soft_silhouette``, ``nearest_other``.

    Raises
    ------
    InputError
        Columns, options and rows that cannot be used, and rows that changed between the passes.

    Notes
    -----
    Each task works with ``spark.task.cpus`` threads. docs/scaling.md says how it compares with Spark ML's
    ClusteringEvaluator.
    """
    from pyspark.sql import functions

    kept = _engines.kept_columns(df.columns, columns, embedding) if columns is not None else None
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
    vectors = functions.col(embedding).alias("embedding")
    labels = functions.col(label).alias("label")
    chosen = df.select(vectors, labels)

    def first(batches: Any, place: str, n_jobs: int) -> bytes:
        return frame.moments(batches, place, n_jobs)

    def scores(moments: bytes) -> bytes:
        def second(batches: Any, place: str, n_jobs: int) -> bytes:
            return frame.scores(batches, moments, place, n_jobs)

        found = _reduced(chosen.mapInArrow(_states(second), _STATES), depth)
        return found or frame.scores((), moments, "", 1)

    def influence(moments: bytes, scores: bytes) -> bytes:
        def third(batches: Any, place: str, n_jobs: int) -> bytes:
            return frame.influence(batches, moments, scores, place, n_jobs)

        found = _reduced(chosen.mapInArrow(_states(third), _STATES), depth)
        return found or frame.influence((), moments, scores, "", 1)

    def rows(moments: bytes) -> DataFrame:
        names = _engines.kept_columns(df.columns, None, embedding) if kept is None else kept
        wanted = [functions.col(f"`{name}`") for name in names]
        given = df.select(*wanted, vectors.alias("_embq_embedding"), labels.alias("_embq_label"))
        return given.mapInArrow(_scored(frame, names, moments), _schema(given, len(names)))

    moments = _reduced(chosen.mapInArrow(_states(first), _STATES), depth)
    third = influence if intervals else None
    return _engines.finish(moments or frame.moments((), "", 1), scores, third, matrix, rows)


def _place() -> tuple[int, str, int]:
    """The number of the partition, its name, and the threads of the task."""
    from pyspark import TaskContext

    context = TaskContext.get()
    if context is None:
        return 0, "a partition", 1
    number = context.partitionId()
    return number, f"partition {number}", max(1, context.cpus())


def _states(work: Callable[[Any, str, int], bytes]) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """A function for ``mapInArrow`` that makes the state of a partition."""

    def state_of(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        number, place, n_jobs = _place()
        state = work(batches_of(batches, "embedding", "label"), place, n_jobs)
        yield pa.RecordBatch.from_pydict({"part": pa.array([number], pa.int32()), "state": pa.array([state], pa.binary())})

    return state_of


def _joined(batches: Iterator[Any]) -> Iterator[Any]:
    """A function for ``mapInArrow`` that joins the states of a partition as they come."""
    import pyarrow as pa

    parts: list[int] = []

    def states() -> Iterator[bytes]:
        for batch in batches:
            parts.extend(batch.column("part").to_pylist())
            yield from (state.as_py() for state in batch.column("state"))

    from itertools import chain

    pieces = states()
    head = next(pieces, None)
    if head is not None:
        state = _engines.join(chain([head], pieces))
        yield pa.RecordBatch.from_pydict({"part": pa.array([min(parts)], pa.int32()), "state": pa.array([state], pa.binary())})


def _reduced(states: DataFrame, depth: int) -> bytes:
    """The states of all partitions in one, in the order of the partitions."""
    from pyspark.sql import functions

    group = functions.col("part")
    for _ in range(int(depth) - 1):
        group = functions.floor(group / _engines.FAN_IN)
        states = states.repartition(group).sortWithinPartitions("part").mapInArrow(_joined, _STATES)
    with _engines.plain_errors():
        found = sorted((row["part"], bytes(row["state"])) for row in states.collect())
    return _engines.join(state for _, state in found) if found else b""


def _scored(frame: _engines.Frame, names: Sequence[str], moments: bytes) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """A function for ``mapInArrow`` that scores rows: kept columns come first, then vectors and labels."""

    def scored(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        _, place, n_jobs = _place()
        given = ((batch, batch.column(len(names)), batch.column(len(names) + 1)) for batch in batches)
        for batch, columns, nearest in frame.rows(given, moments, place, n_jobs):
            rows = pa.array(columns["row"])
            arrays = [batch.column(position).take(rows) for position in range(len(names))]
            arrays += [pa.array(columns[name], from_pandas=True) for name in _engines.SCORES]
            yield pa.RecordBatch.from_arrays([*arrays, nearest], names=[*names, *_engines.SCORES, "nearest_other"])

    return scored


def _schema(given: DataFrame, kept: int) -> Any:
    """The schema of ``result.rows``."""
    from pyspark.sql.types import DoubleType, StructField, StructType

    scores = [StructField(name, DoubleType()) for name in _engines.SCORES]
    nearest = StructField("nearest_other", given.schema.fields[-1].dataType)
    return StructType([*given.schema.fields[:kept], *scores, nearest])
