"""The extension. Defaults and documentation are in the Python functions that wrap it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

__version__: str

class InputError(ValueError):
    """Input or options that embq cannot use. The message says what is wrong, where, and what to do about it."""

_Rows: TypeAlias = (
    str
    | tuple[NDArray[Any], str, str]
    | tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], int, str, str]
)
_Set: TypeAlias = _Rows | tuple[NDArray[np.float64], NDArray[np.float64], str]
_Labels: TypeAlias = str | Labels
_Weights: TypeAlias = str | NDArray[np.float64] | None

class Manner(TypedDict):
    n_jobs: int | None
    progress: Callable[[str, int, int], None] | None

class Labels:
    @staticmethod
    def from_codes(name: str, codes: NDArray[np.int64], categories: Sequence[Any]) -> Labels: ...
    @staticmethod
    def from_integers(name: str, values: NDArray[np.int64]) -> Labels: ...
    @staticmethod
    def from_booleans(name: str, values: NDArray[np.bool_]) -> Labels: ...
    @staticmethod
    def from_text(name: str, values: NDArray[np.uint32]) -> Labels: ...
    @staticmethod
    def from_objects(name: str, values: Iterable[Any]) -> Labels: ...
    def classes(self) -> int: ...
    def __len__(self) -> int: ...

class Evaluated:
    @staticmethod
    def read(text: str) -> Evaluated: ...
    @staticmethod
    def restore(
        text: str,
        labels: Labels,
        row: NDArray[np.int64],
        label: NDArray[np.uint32],
        a: NDArray[np.float64],
        b: NDArray[np.float64],
        silhouette: NDArray[np.float64],
        soft_silhouette: NDArray[np.float64],
        nearest_other: NDArray[np.uint32],
    ) -> Evaluated: ...
    def json(self) -> str: ...
    def table(self, classes: int | None) -> str: ...
    def fragment(self) -> str: ...
    def page(self, rows: _Rows | None, manner: Manner) -> str: ...
    def labels(self) -> list[Any]: ...
    def has_rows(self) -> bool: ...
    def columns(self) -> dict[str, NDArray[Any]]: ...
    def silhouettes(self) -> NDArray[np.float64] | None: ...
    def matrix(self) -> NDArray[np.float64] | None: ...

class Compared:
    @staticmethod
    def read(text: str) -> Compared: ...
    def json(self) -> str: ...
    def table(self, classes: int | None) -> str: ...
    def page(self) -> str: ...

class Drifted:
    @staticmethod
    def read(text: str) -> Drifted: ...
    def json(self) -> str: ...
    def table(self, classes: int | None) -> str: ...
    def page(self, sets: tuple[_Set, _Set] | None, manner: Manner) -> str: ...

class Suspected:
    @staticmethod
    def read(text: str) -> Suspected: ...
    def json(self) -> str: ...
    def table(self, rows: int | None) -> str: ...

class Piece(TypedDict):
    name: str
    column: str | None
    label_column: str | None
    place: str
    label_place: str
    first: int
    batches: list[tuple[NDArray[Any], str, list[tuple[int, str]]]]
    labels: Labels
    id: str | None

class PartMoments:
    @staticmethod
    def of_piece(
        piece: Piece, *, measure: dict[str, Any], wanted: dict[str, Any], choice: dict[str, Any], manner: Manner
    ) -> PartMoments: ...
    def join(self, piece: PartMoments) -> None: ...
    def merge(self, other: PartMoments) -> None: ...
    def bytes(self) -> bytes: ...
    def finish(self) -> Evaluated: ...
    def ids(self) -> list[str]: ...
    def content(self) -> tuple[list[str], int]: ...
    def shape(self) -> tuple[int, str]: ...
    def needs_scores(self) -> bool: ...
    def labels(self) -> list[Any]: ...

class PartScores:
    @staticmethod
    def of_piece(
        piece: Piece, moments: PartMoments, keeps_rows: bool, *, manner: Manner
    ) -> tuple[PartScores, dict[str, NDArray[Any]] | None]: ...
    def join(self, piece: PartScores) -> None: ...
    def merge(self, other: PartScores) -> None: ...
    def require_in(self, moments: PartMoments) -> None: ...
    def bytes(self) -> bytes: ...
    def finish(self, moments: PartMoments, matrix: bool) -> Evaluated: ...
    def ids(self) -> list[str]: ...
    def content(self) -> tuple[list[str], int]: ...

def read_state(state: bytes, name: str) -> PartMoments | PartScores: ...
def run_program(arguments: list[str]) -> int: ...
def in_python(message: str) -> str: ...
def score(
    rows: _Rows,
    labels: _Labels | None,
    *,
    measure: dict[str, Any],
    wanted: dict[str, Any],
    choice: dict[str, Any],
    weights: _Weights,
    batch: _Labels | None,
    clusters: _Labels | None,
    gallery: tuple[_Rows, _Labels] | None,
    exclude_identical: bool,
    manner: Manner,
) -> Evaluated: ...
def compare(
    checkpoints: list[_Rows],
    names: list[str],
    labels: _Labels,
    *,
    measure: dict[str, Any],
    wanted: dict[str, Any],
    choice: dict[str, Any],
    weights: _Weights,
    allow_mismatch: bool,
    similarity: bool,
    manner: Manner,
) -> Compared: ...
def suspects(
    rows: _Rows,
    labels: _Labels,
    *,
    measure: dict[str, Any],
    choice: dict[str, Any],
    neighbours: int,
    ids: _Labels | None,
    text: _Labels | None,
    manner: Manner,
) -> Suspected: ...
def drift(
    reference: _Set,
    current: _Set,
    labels: tuple[_Labels, _Labels] | None,
    *,
    wanted: dict[str, Any],
    choice: dict[str, Any],
    manner: Manner,
) -> Drifted: ...
def similarity(
    left: _Rows,
    right: _Rows,
    *,
    measure: dict[str, Any],
    manner: Manner,
) -> list[tuple[str, float | None]]: ...
def silhouette_loss(
    rows: _Rows,
    labels: _Labels,
    *,
    measure: dict[str, Any],
    choice: dict[str, Any],
    manner: Manner,
) -> tuple[float, NDArray[np.float32] | NDArray[np.float64]]: ...
