"""Score rows that lie in parts, on any scheduler: states of the parts are bytes, and they merge.

Two passes over the parts, in any order and on any machines: `moments` of each part, which `merge`; then `scores` of each
part with the merged moments, of which `finish` makes the result of all rows.

    >>> import numpy as np
    >>> from embq import partial
    >>> X = np.array([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.3, 1.0]])
    >>> parts = [(X[:1], ["cat"]), (X[1:], ["cat", "dog", "dog"])]
    >>> m = partial.merge([partial.moments(part) for part in parts])
    >>> r = partial.finish([partial.scores(part, m) for part in parts], m)
    >>> round(r.silhouette, 4)
    0.9823

Intervals take a third pass: `influence` of each part, from the merged scores of all.

The bytes are those of the files of ``embq partial`` and ``embq merge``: states from both merge. For Spark, Dask and Ray
there are `embq.spark`, `embq.dask` and `embq.ray`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from . import _embq, _inputs
from ._batches import Part, batches_of, blocks, rows_of
from ._functions import choice_parameters, measure_parameters, wanted_parameters
from ._results import Result, Table, label_array

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Literal

    _State = _embq.PartMoments | _embq.PartScores | _embq.PartInfluence

__all__ = ["finish", "influence", "merge", "moments", "scores"]


def options(
    metric: str = "cosine",
    distance: str | None = None,
    metrics: Any = None,
    temperature: Any = 0.1,
    softmin: str = "weighted",
    softmax: str = "lse",
    invalid: str = "raise",
    missing: str = "raise",
    ignore_label: Any = None,
    include: Any = None,
    exclude: Any = None,
    precision: str | None = None,
) -> dict[str, Any]:
    """The parameters of the first pass, as the extension takes them."""
    return {
        "measure": measure_parameters(metric, distance, temperature, softmin, softmax, precision),
        "wanted": wanted_parameters(metrics),
        "choice": choice_parameters(invalid, missing, ignore_label, include, exclude),
    }


def moments_of(batches: Iterable[tuple[Any, Any]], part: Part, options: dict[str, Any], n_jobs: int | None) -> _embq.PartMoments:
    """The moments of a part, block by block. One without rows has moments too."""
    manner: _embq.Manner = {"n_jobs": n_jobs, "progress": None}
    # The first piece is without rows, so that a part is the same whatever its blocks are.
    state = _embq.PartMoments.of_piece(part.piece([]), **options, manner=manner)
    for block in blocks(batches):
        state.join(_embq.PartMoments.of_piece(part.piece(block), **options, manner=manner))
    return state


def scores_of(
    batches: Iterable[tuple[Any, Any]],
    part: Part,
    moments: _embq.PartMoments,
    keeps_rows: bool,
    intervals: bool,
    n_jobs: int | None,
) -> Iterator[tuple[_embq.PartScores, dict[str, Any] | None, int]]:
    """The scores of each block of a part, with those of its rows, and the number of the first row."""
    manner: _embq.Manner = {"n_jobs": n_jobs, "progress": None}
    shape = moments.shape()
    state, _ = _embq.PartScores.of_piece(part.piece([]), moments, False, intervals, manner=manner)
    yield state, None, 0
    for block in blocks(batches):
        first = part.first
        scored, columns = _embq.PartScores.of_piece(part.piece(block, shape), moments, keeps_rows, intervals, manner=manner)
        yield scored, columns, first


def influence_of(
    batches: Iterable[tuple[Any, Any]],
    part: Part,
    moments: _embq.PartMoments,
    scores: _embq.PartScores,
    n_jobs: int | None,
) -> _embq.PartInfluence:
    """The influence of the rows of a part, block by block."""
    manner: _embq.Manner = {"n_jobs": n_jobs, "progress": None}
    shape = moments.shape()
    state = _embq.PartInfluence.of_piece(part.piece([]), moments, scores, manner=manner)
    for block in blocks(batches):
        state.join(_embq.PartInfluence.of_piece(part.piece(block, shape), moments, scores, manner=manner))
    return state


def moments(
    batches: Any,
    *,
    embedding: str = "embedding",
    label: str = "label",
    metric: str = "cosine",
    distance: str | None = None,
    metrics: str | Iterable[str] | None = None,
    temperature: float = 0.1,
    softmin: Literal["weighted", "lse", "hard", "mean"] = "weighted",
    softmax: Literal["lse", "hard"] = "lse",
    invalid: Literal["raise", "drop"] = "raise",
    missing: Literal["raise", "drop"] = "raise",
    ignore_label: Any = None,
    include: Any = None,
    exclude: Any = None,
    precision: Literal["float32", "float64"] | None = None,
    part: str | None = None,
    n_jobs: int | None = None,
) -> bytes:
    """The first pass: the moments of a part of the rows.

    Parameters
    ----------
    batches : Arrow record batches, Arrow table, or tuple of (X, y)
        The rows of the part, or none: an iterable of record batches, anything that has the Arrow C stream or array
        interface (a table of pyarrow or polars, a reader), arrays of shape (n_samples, n_features) and (n_samples,),
        or an iterable of such tuples. Batches are read as they come, some 64 MiB at a time.
    embedding, label : str, default="embedding", "label"
        The columns of batches. Vectors are lists of floats, of any or of fixed length, or the vectors of Spark ML;
        lists without nulls are read in place.
    metric, distance, metrics, temperature, softmin, softmax, invalid, missing, ignore_label, include, exclude, precision
        As in `embq.score`, and the same for all parts. ``metric`` is ``"cosine"`` or ``"sqeuclidean"``; docs/scaling.md
        lists the metrics that merge. A row whose vector is null is invalid.
    part : str, default=None
        The name of the part, the same in both passes. By default its content names it, so that the same rows cannot
        count twice.
    n_jobs : int, default=None
        The number of threads, as in `embq.score`.

    Returns
    -------
    bytes
        The state, an Arrow IPC file.

    Raises
    ------
    InputError
        Rows that cannot be used, and metrics that do not merge.

    Examples
    --------
    >>> import numpy as np
    >>> from embq import partial
    >>> state = partial.moments((np.eye(4), ["a", "a", "b", "b"]), metric="sqeuclidean")
    >>> state[:6]
    b'ARROW1'
    """
    found = options(
        metric, distance, metrics, temperature, softmin, softmax, invalid, missing, ignore_label, include, exclude, precision
    )
    return moments_of(batches_of(batches, embedding, label), _part(batches, embedding, label, part), found, n_jobs).bytes()


def _part(batches: Any, embedding: str, label: str, part: str | None) -> Part:
    if isinstance(batches, tuple):
        return Part("X", None, None, id=part)
    return Part("batches" if part is None else part, embedding, label, id=part)


@overload
def scores(
    batches: Any,
    moments: bytes,
    *,
    embedding: str = ...,
    label: str = ...,
    rows: Literal[False] = ...,
    intervals: bool = ...,
    part: str | None = ...,
    n_jobs: int | None = ...,
) -> bytes: ...


@overload
def scores(
    batches: Any,
    moments: bytes,
    *,
    embedding: str = ...,
    label: str = ...,
    rows: Literal[True],
    intervals: bool = ...,
    part: str | None = ...,
    n_jobs: int | None = ...,
) -> tuple[bytes, Table]: ...


def scores(
    batches: Any,
    moments: bytes,
    *,
    embedding: str = "embedding",
    label: str = "label",
    rows: bool = False,
    intervals: bool = False,
    part: str | None = None,
    n_jobs: int | None = None,
) -> bytes | tuple[bytes, Table]:
    """The second pass: sums of the scores of the rows of a part.

    Parameters
    ----------
    batches, embedding, label, part, n_jobs
        As in `moments`, and the same rows.
    moments : bytes
        The merged moments of all parts, which also say what is measured and which rows take part.
    rows : bool, default=False
        Whether to return the scores of each row, too.
    intervals : bool, default=False
        Whether to keep the sums that 95 % intervals follow from in a third pass, `influence`: some 80 bytes for each class
        and dimension.

    Returns
    -------
    state : bytes
        The state, an Arrow IPC file.
    table : Table
        With ``rows=True``: for each row that takes part its number in the part, label, mean distances a and b,
        silhouettes, and the nearest other class. ``table.to_arrow()`` is an Arrow table.

    Raises
    ------
    InputError
        Rows that cannot be used, and rows that the moments are not of.

    Examples
    --------
    >>> import numpy as np
    >>> from embq import partial
    >>> X, y = np.array([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.3, 1.0]]), [0, 0, 1, 1]
    >>> state, table = partial.scores((X, y), partial.moments((X, y)), rows=True)
    >>> table["nearest_other"].tolist()
    [1, 1, 0, 0]
    """
    merged = _moments(moments)
    state: _embq.PartScores | None = None
    tables: list[dict[str, Any]] = []
    for scored, columns, first in scores_of(
        batches_of(batches, embedding, label), _part(batches, embedding, label, part), merged, rows, intervals, n_jobs
    ):
        if state is None:
            state = scored
        else:
            state.join(scored)
        if columns:
            columns["row"] += first
            tables.append(columns)
    assert state is not None
    state.require_in(merged)
    if not rows:
        return state.bytes()
    return state.bytes(), row_table(tables, merged)


def influence(
    batches: Any,
    moments: bytes,
    scores: bytes,
    *,
    embedding: str = "embedding",
    label: str = "label",
    part: str | None = None,
    n_jobs: int | None = None,
) -> bytes:
    """The third pass, for intervals: how the influence of the rows of a part on the results varies.

    Parameters
    ----------
    batches, embedding, label, part, n_jobs
        As in `moments`, and the same rows.
    moments, scores : bytes
        The merged moments of all parts, and their merged scores with ``intervals=True``.

    Returns
    -------
    bytes
        The state, an Arrow IPC file.

    Raises
    ------
    InputError
        Rows that cannot be used or that the moments are not of; scores without the sums for intervals, or not of all
        parts.

    Examples
    --------
    >>> import numpy as np
    >>> from embq import partial
    >>> part = np.array([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.3, 1.0]]), [0, 0, 1, 1]
    >>> m = partial.moments(part)
    >>> s = partial.scores(part, m, intervals=True)
    >>> r = partial.finish(partial.influence(part, m, s), m, s)
    >>> [round(end, 3) for end in r.intervals["silhouette"]]
    [0.977, 0.988]
    """
    merged, scored = _moments(moments), _scores(scores)
    state = influence_of(
        batches_of(batches, embedding, label), _part(batches, embedding, label, part), merged, scored, n_jobs
    )
    state.require_in(merged)
    return state.bytes()


def row_table(tables: list[dict[str, Any]], moments: _embq.PartMoments) -> Table:
    """The scores of rows in one table, with labels for codes."""
    import numpy as np

    names = label_array(moments.labels())
    types = {"row": np.int64, "label": np.uint32, "nearest_other": np.uint32}
    empty = {name: np.empty(0, dtype=types.get(name, np.float64)) for name in ROW_COLUMNS}
    columns = {name: np.concatenate([table[name] for table in tables or [empty]]) for name in ROW_COLUMNS}
    for name in ("label", "nearest_other"):
        columns[name] = names[columns[name]]
    return Table(columns)


ROW_COLUMNS = ("row", "label", "a", "b", "silhouette", "soft_silhouette", "nearest_other")


def merge(states: Iterable[bytes]) -> bytes:
    """Merge states of several parts into one: moments with moments, scores with scores, influence with influence.

    Parameters
    ----------
    states : iterable of bytes
        States from `moments`, `scores`, `influence` and `merge`, in any order and grouping. The same states give the same bytes.

    Returns
    -------
    bytes
        The state of all parts.

    Raises
    ------
    InputError
        States of different settings, a part that would count twice, bytes that are not a state or were altered.

    Examples
    --------
    >>> import numpy as np
    >>> from embq import partial
    >>> states = [partial.moments((np.eye(4)[:2], ["a", "b"])), partial.moments((np.eye(4)[2:], ["a", "b"]))]
    >>> partial.merge(states) == partial.merge(reversed(states))
    True
    """
    return _merged(states).bytes()


def _merged(states: Iterable[bytes]) -> _State:
    known = [_embq.read_state(state, f"state {number}") for number, state in enumerate(states)]
    if not known:
        raise _inputs.error("there are no states", "pass what moments and scores return")
    # In the order of the parts' ids, so that the same states give the same bytes.
    first, *others = sorted(known, key=lambda state: state.ids())
    merged: Any = first
    for other in others:
        if type(first) is not type(other):
            raise _inputs.error(f"some states are {_kind(first)}, and some are {_kind(other)}", "merge states of one kind")
        merged.merge(other)
    return first


def _kind(state: _State) -> str:
    if isinstance(state, _embq.PartMoments):
        return "moments"
    return "scores" if isinstance(state, _embq.PartScores) else "influence"


def _moments(state: bytes) -> _embq.PartMoments:
    found = _embq.read_state(state, "moments")
    if isinstance(found, _embq.PartMoments):
        return found
    raise _inputs.error(f"moments: the state holds {_kind(found)}", "pass the merged moments of all parts")


def _scores(state: bytes) -> _embq.PartScores:
    found = _embq.read_state(state, "scores")
    if isinstance(found, _embq.PartScores):
        return found
    raise _inputs.error(f"scores: the state holds {_kind(found)}", "pass the merged scores of all parts")


def finish(
    states: bytes | Iterable[bytes], moments: bytes | None = None, scores: bytes | None = None, *, matrix: bool = False
) -> Result:
    """The result of all rows, the same as of `embq.score`.

    Parameters
    ----------
    states : bytes or iterable of bytes
        The scores of all parts, merged or not; or their moments, if nothing that is computed needs scores; or their
        influence, for a result with intervals.
    moments : bytes, default=None
        The merged moments that the parts were scored with.
    scores : bytes, default=None
        The merged scores that the influence was found with.
    matrix : bool, default=False
        Whether to keep the mean distances between all classes as ``r.matrix``.

    Returns
    -------
    Result
        All metrics by name, and the table of classes. It has no rows: `scores` returns them with ``rows=True``. Intervals
        are 1.96 standard errors to both sides; those of `embq.score` are percentiles, for which rows are drawn again.

    Raises
    ------
    InputError
        As in `merge`; other moments than those of the scores, and parts of which the scores are missing.

    Examples
    --------
    >>> import numpy as np
    >>> from embq import partial
    >>> m = partial.moments((np.eye(4) + 1, [0, 0, 1, 1]), metrics="calinski_harabasz")
    >>> round(partial.finish(m).calinski_harabasz, 4)
    1.0
    """
    merged = _merged([states] if isinstance(states, bytes) else states)
    if isinstance(merged, _embq.PartMoments):
        return Result(merged.finish())
    if moments is None:
        raise _inputs.error(f"the result of {_kind(merged)} needs the moments of all parts", "partial.finish(states, moments)")
    if isinstance(merged, _embq.PartScores):
        return Result(merged.finish(_moments(moments), bool(matrix)))
    if scores is None:
        raise _inputs.error("the result of influence needs the scores of all parts", "partial.finish(states, moments, scores)")
    return Result(merged.finish(_scores(scores), _moments(moments), bool(matrix)))
