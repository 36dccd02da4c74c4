"""Score the rows of a Spark DataFrame, wherever they lie: none of them is shuffled or collected.

Needs PySpark 3.5 or later, here and embq on the workers: ``pip install 'embq[spark]'``.

    from embq.spark import score

    result = score(df, embedding="embedding", label="label")
    result.silhouette
    result.rows.write.parquet("silhouettes")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _engines, _inputs
from ._batches import batches_of
from ._kept_rows import KeptRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Literal

    from pyspark.sql import DataFrame

__all__ = ["score"]

_STATES = "part int, parts array<int>, state binary"


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
    scratch: str | None = "auto",
) -> _engines.EngineResult:
    """Score the embeddings in a data frame, in two passes over its rows.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        The rows. Unless they are kept in a scratch folder, they are read twice, and must be the same both times: cache
        or store what is computed anew.
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
    scratch : str, default="auto"
        A folder that all workers share and can write. What the passes need of the rows is kept there until they are
        over, so that Spark hands the rows over once: this takes most of the time of a pass. By default rows are kept
        among Spark's own temporary files if it runs on a single machine (``local[...]``), and elsewhere not; with None
        they never are.

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
    vectors = _as_array(df, embedding).alias("embedding")
    labels = functions.col(label).alias("label")
    kept_rows = _kept_rows(df, scratch) if frame.needs_scores() else None
    states = _States(df.select(vectors, labels), kept_rows, depth)

    def scores(moments: bytes) -> bytes:
        def second(batches: Any, place: str, n_jobs: int) -> bytes:
            return frame.scores(batches, moments, place, n_jobs)

        return states.again(second, is_last=not intervals) or frame.scores((), moments, "", 1)

    def influence(moments: bytes, scores: bytes) -> bytes:
        def third(batches: Any, place: str, n_jobs: int) -> bytes:
            return frame.influence(batches, moments, scores, place, n_jobs)

        return states.again(third, is_last=True) or frame.influence((), moments, scores, "", 1)

    def rows(moments: bytes) -> DataFrame:
        names = _engines.kept_columns(df.columns, None, embedding) if kept is None else kept
        wanted = [functions.col(f"`{name}`") for name in names]
        given = df.select(*wanted, vectors.alias("_embq_embedding"), labels.alias("_embq_label"))
        return given.mapInArrow(_scored(frame, names, moments), _schema(given, len(names)))

    try:
        moments = states.first(frame.moments) or frame.moments((), "", 1)
        return _engines.finish(moments, scores, influence if intervals else None, matrix, rows)
    except BaseException:
        states.forget()
        raise


def _as_array(df: DataFrame, embedding: str) -> Any:
    """The column of vectors; those of Spark ML as arrays, which Spark hands over in half of the time."""
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql import functions

    column = functions.col(embedding)
    # Of pyspark.ml or of pyspark.mllib.
    if type(df.select(column).schema.fields[0].dataType).__name__ == "VectorUDT":
        try:
            return functions.when(column.isNotNull(), vector_to_array(column))
        except AssertionError:
            # Spark Connect 3.5 has no such function.
            pass
    return column


def _kept_rows(df: DataFrame, scratch: str | None) -> KeptRows | None:
    """Where rows are kept between the passes, if they are."""
    if not (scratch is None or isinstance(scratch, str)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _inputs.error("scratch: a folder that all workers share, 'auto' or None", 'scratch="auto"')
    if scratch == "auto":
        master = df.sparkSession.conf.get("spark.master", None) or ""
        # The workers of a cluster, one on this machine too, have folders of their own.
        return KeptRows.new("") if master == "local" or master.startswith("local[") else None
    return KeptRows.new(scratch) if scratch else None


class _States:
    """The states of the partitions of a data frame, pass by pass, in one."""

    def __init__(self, df: DataFrame, kept: KeptRows | None, depth: int) -> None:
        self._df = df
        self._kept = kept
        self._depth = int(depth)
        self._parts: list[int] = []

    def first(self, work: Callable[[Any, str, int], bytes]) -> bytes:
        """That of a pass over the data frame, which keeps the rows. Empty if there are no partitions."""
        states = self._df.mapInArrow(_states(work, self._kept), _STATES)
        self._parts, state = _reduced(states, self._depth)
        return state

    def again(self, work: Callable[[Any, str, int], bytes], is_last: bool) -> bytes:
        """That of another pass, over the rows that are kept."""
        # As many as one task joins need none.
        depth = self._depth if len(self._parts) > _engines.FAN_IN else 1
        if self._kept is not None and self._parts:
            places = self._df.sparkSession.range(0, len(self._parts), 1, len(self._parts))
            states = places.mapInArrow(_states_of_kept(work, self._kept, self._parts, is_last), _STATES)
            parts, state = _reduced(states, depth)
            if parts == self._parts:
                return state
        _, state = _reduced(self._df.mapInArrow(_states(work, None), _STATES), depth)
        return state

    def forget(self) -> None:
        """Removes what an error left of the rows."""
        from contextlib import suppress

        if self._kept is not None:
            with suppress(Exception):
                self._df.sparkSession.range(0, 1, 1, 1).mapInArrow(_removal(self._kept), "id bigint").collect()


def _place() -> tuple[int, int]:
    """The number of the partition, and the threads of the task."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return (0, 1) if context is None else (context.partitionId(), max(1, context.cpus()))


def _state_batch(parts: list[int], state: bytes) -> Any:
    import pyarrow as pa

    columns = {
        "part": pa.array([min(parts)], pa.int32()),
        "parts": pa.array([parts], pa.list_(pa.int32())),
        "state": pa.array([state], pa.binary()),
    }
    return pa.RecordBatch.from_pydict(columns)


def _states(work: Callable[[Any, str, int], bytes], kept: KeptRows | None) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """A function for ``mapInArrow`` that makes the state of a partition, and may keep its rows."""

    def state_of(batches: Iterator[Any]) -> Iterator[Any]:
        number, n_jobs = _place()
        given = batches if kept is None else kept.keep(batches, number)
        state = work(batches_of(given, "embedding", "label"), f"partition {number}", n_jobs)
        yield _state_batch([number], state)

    return state_of


def _states_of_kept(
    work: Callable[[Any, str, int], bytes], kept: KeptRows, parts: Sequence[int], is_last: bool
) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """A function for ``mapInArrow`` that makes the states of the kept partitions with the given places in `parts`. Those
    that are not there are left out."""

    def states_of(batches: Iterator[Any]) -> Iterator[Any]:
        _, n_jobs = _place()
        for number in (parts[place] for batch in batches for place in batch.column("id").to_pylist()):
            rows = kept.rows(number)
            if rows is None:
                continue
            state = work(batches_of(rows, "embedding", "label"), f"partition {number}", n_jobs)
            if is_last:
                kept.forget(number)
            yield _state_batch([number], state)

    return states_of


def _removal(kept: KeptRows) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """A function for ``mapInArrow`` that removes all kept rows."""

    def removed(batches: Iterator[Any]) -> Iterator[Any]:
        kept.forget_all()
        yield from batches

    return removed


def _joined(batches: Iterator[Any]) -> Iterator[Any]:
    """A function for ``mapInArrow`` that joins the states of a partition as they come."""
    from itertools import chain

    parts: list[int] = []

    def states() -> Iterator[bytes]:
        for batch in batches:
            parts.extend(number for numbers in batch.column("parts").to_pylist() for number in numbers)
            yield from (state.as_py() for state in batch.column("state"))

    pieces = states()
    head = next(pieces, None)
    if head is not None:
        yield _state_batch(parts, _engines.join(chain([head], pieces)))


def _reduced(states: DataFrame, depth: int) -> tuple[list[int], bytes]:
    """The states of all partitions in one, in the order of the partitions, and the numbers of these."""
    from pyspark.sql import functions

    group = functions.col("part")
    for _ in range(depth - 1):
        group = functions.floor(group / _engines.FAN_IN)
        states = states.repartition(group).sortWithinPartitions("part").mapInArrow(_joined, _STATES)
    with _engines.plain_errors():
        found = sorted((row["part"], row["parts"], bytes(row["state"])) for row in states.collect())
    parts = [number for _, numbers, _ in found for number in numbers]
    return parts, _engines.join(state for _, _, state in found) if found else b""


def _scored(frame: _engines.Frame, names: Sequence[str], moments: bytes) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """A function for ``mapInArrow`` that scores rows: kept columns come first, then vectors and labels."""

    def scored(batches: Iterator[Any]) -> Iterator[Any]:
        import pyarrow as pa

        number, n_jobs = _place()
        given = ((batch, batch.column(len(names)), batch.column(len(names) + 1)) for batch in batches)
        for batch, columns, nearest in frame.rows(given, moments, f"partition {number}", n_jobs):
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
