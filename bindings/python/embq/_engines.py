"""What the adapters of engines share: the partitions of a data frame are pieces of one part."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

from . import _embq, _inputs
from ._batches import Part
from ._results import Result
from .partial import influence_of, moments_of, options, scores_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

SCORES = ("a", "b", "silhouette", "soft_silhouette")
"""Columns of the scores of a row, before ``nearest_other``."""

FAN_IN = 16
"""States that one task joins."""


class EngineResult(Result):
    """A result of rows that an engine holds. ``rows`` is a data frame of that engine, computed when it is used."""

    def __init__(self, raw: _embq.Evaluated, rows: Callable[[], Any]) -> None:
        super().__init__(raw)
        self._rows = rows

    @property
    def rows(self) -> Any:
        """The scored rows, as a data frame of the engine: the other columns of the scored data frame, mean distances a
        and b, silhouettes, and the nearest other class. Reads the data frame again."""
        return self._rows()


@dataclass(frozen=True)
class Frame:
    """What is scored, and how: all that a worker needs to know."""

    embedding: str
    label: str
    options: dict[str, Any]
    intervals: bool = False

    def part(self, place: str) -> Part:
        return Part("df", self.embedding, self.label, place=place)

    def moments(self, batches: Iterable[tuple[Any, Any]], place: str, n_jobs: int | None) -> bytes:
        """The moments of a partition."""
        return moments_of(batches, self.part(place), self.options, n_jobs).bytes()

    def needs_scores(self) -> bool:
        """Whether the metrics take a second pass."""
        return moments_in(self.moments((), "", 1)).needs_scores()

    def scores(self, batches: Iterable[tuple[Any, Any]], moments: bytes, place: str, n_jobs: int | None) -> bytes:
        """The scores of a partition."""
        merged = moments_in(moments)
        pieces = scores_of(batches, self.part(place), merged, False, self.intervals, n_jobs)
        state, _, _ = next(pieces)
        for piece, _, _ in pieces:
            state.join(piece)
        return state.bytes()

    def influence(
        self, batches: Iterable[tuple[Any, Any]], moments: bytes, scores: bytes, place: str, n_jobs: int | None
    ) -> bytes:
        """The influence of the rows of a partition."""
        return influence_of(batches, self.part(place), moments_in(moments), scores_in(scores), n_jobs).bytes()

    def rows(
        self, batches: Iterable[tuple[Any, Any, Any]], moments: bytes, place: str, n_jobs: int | None
    ) -> Iterator[tuple[Any, dict[str, Any], Any]]:
        """For each batch: the batch, the positions and scores of its rows that take part, and their nearest class."""
        import numpy as np
        import pyarrow as pa

        merged = moments_in(moments)
        part, shape = self.part(place), merged.shape()
        names = pa.array(merged.labels())
        manner: _embq.Manner = {"n_jobs": n_jobs, "progress": None}
        for batch, vectors, labels in batches:
            if len(vectors) == 0:
                continue
            _, columns = _embq.PartScores.of_piece(part.piece([(vectors, labels)], shape), merged, True, False, manner=manner)
            if not columns:
                columns = {name: np.empty(0) for name in SCORES} | {"row": np.empty(0, np.int64), "nearest_other": np.empty(0, np.int64)}
            kind = labels.type.value_type if pa.types.is_dictionary(labels.type) else labels.type
            yield batch, columns, names.take(pa.array(columns["nearest_other"].astype(np.int64))).cast(kind)


def frame(embedding: str, label: str, intervals: bool, **parameters: Any) -> Frame:
    """Checks the parameters here, before a worker meets them."""
    if not isinstance(embedding, str) or not isinstance(label, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _inputs.error("embedding and label are names of columns", 'score(df, "embedding", "label")')
    found = Frame(embedding, label, options(**parameters), bool(intervals))
    found.moments((), "", 1)
    return found


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raises what a worker found wrong with rows as the error that it is, without the engine's wrapping."""
    import re

    try:
        yield
    except _embq.InputError:
        raise
    except Exception as error:
        found = re.search(r"^(?:\S*\.)?InputError: (.+(?:\n +tip: .+)?)", str(error), re.MULTILINE)
        if found is None:
            raise
        raise _embq.InputError(found[1]) from error


def kept_columns(known: Sequence[str], wanted: Sequence[str] | None, embedding: str) -> list[str]:
    """The columns of ``result.rows`` before the scores."""
    if isinstance(wanted, str):
        wanted = [wanted]
    kept = [name for name in known if name != embedding] if wanted is None else list(wanted)
    for name in kept:
        if name not in known:
            raise _inputs.error(f"columns: there is no column {name!r}", f"there are: {', '.join(known)}")
        if name in (*SCORES, "nearest_other"):
            raise _inputs.error(f"columns: {name!r} is also the name of a score", "name the columns to keep, or rename this one")
    return kept


def moments_in(state: bytes) -> _embq.PartMoments:
    found = _embq.read_state(state, "moments")
    assert isinstance(found, _embq.PartMoments)
    return found


def scores_in(state: bytes) -> _embq.PartScores:
    found = _embq.read_state(state, "scores")
    assert isinstance(found, _embq.PartScores)
    return found


def content_of(state: bytes) -> tuple[str, int]:
    """What the rows of one part are, and their number."""
    contents, rows = _embq.read_state(state, "state").content()
    return contents[0], rows


def join(states: Iterable[bytes]) -> bytes:
    """The state of several pieces, in this order."""
    pieces = iter(states)
    joined = next(pieces)
    state: Any = _embq.read_state(joined, "state")
    for piece in pieces:
        state.join(_embq.read_state(piece, "state"))
    whole: bytes = state.bytes()
    return whole


def finish(
    moments: bytes,
    scores: Callable[[bytes], bytes],
    influence: Callable[[bytes, bytes], bytes] | None,
    matrix: bool,
    rows: Callable[[bytes], Any],
) -> EngineResult:
    """The result, after a second pass if one is needed, and with intervals a third one."""
    merged = moments_in(moments)
    if not merged.needs_scores():
        if influence is not None:
            raise _inputs.error("none of the metrics has an interval", "leave out intervals=True, or add silhouette to metrics")
        return EngineResult(merged.finish(), lambda: rows(moments))
    found = scores(moments)
    scored = scores_in(found)
    _require_same(merged, scored, "between the two passes")
    if influence is None:
        return EngineResult(scored.finish(merged, bool(matrix)), lambda: rows(moments))
    influenced = _embq.read_state(influence(moments, found), "influence")
    assert isinstance(influenced, _embq.PartInfluence)
    _require_same(merged, influenced, "before the third pass")
    return EngineResult(influenced.finish(scored, merged, bool(matrix)), lambda: rows(moments))


def _require_same(moments: _embq.PartMoments, state: _embq.PartScores | _embq.PartInfluence, when: str) -> None:
    (found, seen), (expected, known) = state.content(), moments.content()
    if found != expected:
        count = f"{known:,} rows, then {seen:,}" if seen != known else f"{known:,} rows, not all with the same values"
        raise _inputs.error(
            f"the data frame changed {when}: {count}",
            "score what is stored or cached: a data frame that is computed anew, as from a random sample, must give the same rows",
        )
