"""Score the rows of a Ray Dataset: a task for each block, whose states are merged in a tree.

Needs Ray Data, here and embq on the workers: ``pip install 'embq[ray]'``.

    from embq.ray import score

    result = score(ds, embedding="embedding", label="label")
    result.silhouette
    result.rows.write_parquet("silhouettes")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import _engines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Literal

    import ray.data

__all__ = ["score"]


def score(
    ds: ray.data.Dataset,
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
    """Score the embeddings in a data set, in two passes over its blocks.

    Parameters
    ----------
    ds : ray.data.Dataset
        The rows. They are read twice, and must be the same both times: materialize or store what is computed anew.
    embedding : str, default="embedding"
        The column of vectors: lists of floats, or tensors of one dimension.
    label : str, default="label"
        The column of labels: strings, integers or booleans.
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
        As from `embq.score`. ``result.rows`` is a lazy Dataset of the rows that take part, with their scores: ``a``,
        ``b``, ``silhouette``, ``soft_silhouette``, ``nearest_other``.

    Raises
    ------
    InputError
        Columns, options and rows that cannot be used, and rows that changed between the passes.

    Notes
    -----
    A task takes one core, as by Ray's default.
    """
    known = list(ds.columns() or [])
    kept = _engines.kept_columns(known, columns, embedding) if columns is not None else None
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
    chosen = ds.select_columns([embedding, label])

    def first(batches: Any) -> bytes:
        return frame.moments(batches, "a block", 1)

    def scores(moments: bytes) -> bytes:
        import ray

        shared = ray.put(moments)

        def second(batches: Any) -> bytes:
            return frame.scores(batches, ray.get(shared), "a block", 1)

        return _reduced(chosen, frame, second) or frame.scores((), moments, "", 1)

    def influence(moments: bytes, scores: bytes) -> bytes:
        import ray

        shared = ray.put((moments, scores))

        def third(batches: Any) -> bytes:
            merged, scored = ray.get(shared)
            return frame.influence(batches, merged, scored, "a block", 1)

        return _reduced(chosen, frame, third) or frame.influence((), moments, scores, "", 1)

    def rows(moments: bytes) -> ray.data.Dataset:
        import ray

        names = _engines.kept_columns(known, None, embedding) if kept is None else kept
        wanted = list(dict.fromkeys([*names, embedding, label]))
        return ds.select_columns(wanted).map_batches(
            _scored(frame, names, ray.put(moments)), batch_size=None, batch_format="pyarrow", zero_copy_batch=True
        )

    moments = _reduced(chosen, frame, first) or frame.moments((), "", 1)
    return _engines.finish(moments, scores, influence if intervals else None, matrix, rows)


def _columns(frame: _engines.Frame, block: Any) -> tuple[Any, Any]:
    return block.column(frame.embedding), block.column(frame.label)


def _reduced(ds: ray.data.Dataset, frame: _engines.Frame, work: Callable[[Any], bytes]) -> bytes:
    """The states of all blocks in one, whichever of them is done first."""
    import ray

    def state_of(block: Any) -> Any:
        import pyarrow as pa

        state = work([_columns(frame, block)] if len(block) else [])
        content, _ = _engines.content_of(state)
        return pa.table({"content": pa.array([content]), "state": pa.array([state], pa.large_binary())})

    states = ds.map_batches(state_of, batch_size=None, batch_format="pyarrow", zero_copy_batch=True)
    with _engines.plain_errors():
        tables = states.to_arrow_refs()
    contents = ray.remote(_contents)
    keys = ray.get([contents.remote(table) for table in tables])
    order = sorted(range(len(tables)), key=lambda place: keys[place])
    pieces = [tables[place] for place in order if keys[place]]
    join = ray.remote(_join)
    while len(pieces) > 1 or (pieces and pieces[0] in tables):
        groups = [pieces[start : start + _engines.FAN_IN] for start in range(0, len(pieces), _engines.FAN_IN)]
        pieces = [join.remote(*group) for group in groups]
    found: bytes = ray.get(pieces[0]) if pieces else b""
    return found


def _contents(table: Any) -> list[str]:
    contents: list[str] = table.column("content").to_pylist() if table.num_columns else []
    return contents


def _join(*pieces: Any) -> bytes:
    def states() -> Iterable[bytes]:
        for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                yield from sorted(state.as_py() for state in piece.column("state"))

    return _engines.join(states())


def _scored(frame: _engines.Frame, names: Sequence[str], shared: Any) -> Callable[[Any], Any]:
    def scored(block: Any) -> Any:
        import pyarrow as pa
        import ray

        given = [(block, *_columns(frame, block))]
        for batch, columns, nearest in frame.rows(given, ray.get(shared), "a block", 1):
            found = batch.select(list(names)).take(pa.array(columns["row"]))
            for name in _engines.SCORES:
                found = found.append_column(name, pa.array(columns[name], from_pandas=True))
            return found.append_column("nearest_other", nearest)
        if not block.num_columns:
            return block
        nothing = block.select(list(names))
        for name in _engines.SCORES:
            nothing = nothing.append_column(name, pa.array([], pa.float64()))
        return nothing.append_column("nearest_other", pa.array([], block.column(frame.label).type))

    return scored
