"""Vectors and labels of Arrow batches, as the extension takes them: without a copy where their layout allows."""

from __future__ import annotations

from . import _inputs
from ._embq import Labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from . import _embq

    Array = NDArray[Any]
    Faults = list[tuple[int, str]]

BLOCK_BYTES = 64 << 20
"""Vectors that are read at a time; the memory of a part does not grow with its rows."""

_TYPES = {"f16": "float16", "f32": "float32", "f64": "float64"}


def batches_of(source: Any, embedding: str, label: str) -> Iterator[tuple[Any, Any]]:
    """Vectors and labels, as two Arrow columns or as two arrays, batch by batch."""
    for batch in _each(source):
        if isinstance(batch, tuple):
            yield batch
        else:
            yield _column(batch, embedding), _column(batch, label)


def _each(source: Any) -> Iterator[Any]:
    if isinstance(source, tuple):
        if len(source) != 2:  # pyright: ignore[reportUnknownArgumentType]
            raise _inputs.error("batches: a tuple is the embeddings and the labels", "(X, y)")
        yield source
    elif hasattr(source, "__arrow_c_stream__"):
        yield from _arrow().RecordBatchReader.from_stream(source)
    elif hasattr(source, "__arrow_c_array__"):
        yield _arrow().record_batch(source)
    elif hasattr(source, "__iter__"):
        for batch in source:
            yield from _each(batch)
    else:
        raise _inputs.error(
            f"batches: {type(source).__name__} is neither an Arrow table nor batches of one",
            "pass record batches, a table, or arrays as (X, y)",
        )


def _arrow() -> Any:
    try:
        import pyarrow
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError("Arrow batches need pyarrow: pip install 'embq[arrow]'", name="pyarrow") from missing
    return pyarrow


def _column(batch: Any, name: str) -> Any:
    if name not in batch.schema.names:
        known = ", ".join(batch.schema.names)
        raise _inputs.error(f"there is no column {name!r}", f"embedding= and label= name two of: {known}")
    return batch.column(name)


def blocks(batches: Iterable[tuple[Any, Any]]) -> Iterator[list[tuple[Any, Any]]]:
    """Consecutive batches with rows, gathered until they are worth a pass. Arrays are a block of their own."""
    block: list[tuple[Any, Any]] = []
    size = 0
    for vectors, labels in batches:
        if _is_arrow(vectors):
            if len(vectors) == 0:
                continue
            block.append((vectors, labels))
            size += vectors.nbytes
            if size < BLOCK_BYTES:
                continue
        elif len(vectors):
            if block:
                yield block
            block = [(vectors, labels)]
        if block:
            yield block
            block, size = [], 0
    if block:
        yield block


def _is_arrow(values: Any) -> bool:
    return type(values).__module__.partition(".")[0] == "pyarrow"


def rows_of(block: list[tuple[Any, Any]]) -> int:
    return sum(len(vectors) for vectors, _ in block)


class Part:
    """The rows of a part, as pieces for the extension.

    `name` and the columns are what results and errors call them; `place` is what errors call the part.
    """

    def __init__(
        self, name: str, embedding: str | None, label: str | None, *, place: str | None = None, id: str | None = None
    ) -> None:
        self.name = name
        self.embedding = embedding
        self.label = label
        self.place = "" if place is None else f", {place}"
        self.id = id
        self.dimensions: int | None = None
        self.first = 0

    def _called(self, column: str | None) -> str:
        return (self.name if column is None else f"{self.name}:{column}") + self.place

    def _labels_called(self) -> str:
        return "y" if self.label is None else self._called(self.label)

    def piece(self, block: list[tuple[Any, Any]], shape: tuple[int, str] = (1, "f64")) -> _embq.Piece:
        """The rows of a block. `shape` is that of rows none of which is a vector."""
        arrays: list[tuple[Array, str, Faults]] = []
        called = self._called(self.embedding)
        if block and not _is_arrow(block[0][0]):
            X, y = block[0]
            found = _inputs.rows(X, called)
            if isinstance(found, str) or len(found) != 3:
                raise _inputs.error(f"{called}: a part is a dense array in memory", f"{called}.toarray()")
            arrays.append((found[0], found[1], []))
            labels = _inputs.labels(y, self._labels_called())
            if isinstance(labels, str):
                raise _inputs.error(f"{called}: the labels of a part are in memory", "pass the labels themselves")
        else:
            columns = [_Vectors(vectors, called) for vectors, _ in block]
            lengths = (column.length() for column in columns)
            if self.dimensions is None:
                self.dimensions = next((length for length in lengths if length), None)
            for column in columns:
                array, faults = column.rows(self.dimensions, shape)
                matrix, element_type, _ = _inputs.matrix(array, None, called)
                arrays.append((matrix, element_type, faults))
            labels = _labels([labels for _, labels in block], self._labels_called())
        first = self.first
        self.first += rows_of(block)
        return {
            "name": self.name,
            "column": self.embedding,
            "label_column": self.label,
            "place": called,
            "label_place": self._labels_called(),
            "first": first,
            "batches": arrays,
            "labels": labels,
            "id": self.id,
        }


class _Vectors:
    """A column of vectors: lists of one or of any length, tensors, or the vectors of Spark ML."""

    def __init__(self, column: Any, name: str) -> None:
        pa = _arrow()
        self.name = name
        if isinstance(column, pa.ChunkedArray):
            column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        while isinstance(column, pa.ExtensionArray):
            column = column.storage
        self.sparse: Any = None
        self.nulls = column.is_null() if column.null_count else None
        if pa.types.is_struct(column.type) and {field.name for field in column.type} == {"type", "size", "indices", "values"}:
            self.sparse = column
            column = column.field("values")
        kind = column.type
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        values = kind.value_type if is_list else None
        if values is None or not (pa.types.is_floating(values) or pa.types.is_integer(values)):
            raise _inputs.error(f"{name}: {kind} is not a column of vectors", "give a column of lists of floats")
        self.column = column

    def length(self) -> int | None:
        """The length of the first vector that is one."""
        if self.sparse is not None:
            lengths = self._sizes()
        elif hasattr(self.column.type, "list_size"):
            return self.column.type.list_size if self.column.null_count < len(self.column) else None
        else:
            lengths = self._lengths()
        found = lengths[lengths > 0]
        return int(found[0]) if len(found) else None

    def _lengths(self) -> Array:
        """The length of each list; -1 where it is null."""
        import numpy as np

        lengths = self.column.value_lengths()
        return lengths.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)  # type: ignore[no-any-return]

    def _is_dense(self) -> Array:
        return self.sparse.field("type").fill_null(-1).to_numpy(zero_copy_only=False) == 1  # type: ignore[no-any-return]

    def _sizes(self) -> Array:
        """The number of dimensions of each vector of Spark ML; -1 where it is null."""
        import numpy as np

        sizes = self.sparse.field("size").fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        sizes = np.where(self._is_dense(), self._lengths(), sizes)
        if self.nulls is not None:
            sizes[self.nulls.to_numpy(zero_copy_only=False)] = -1
        return sizes

    def rows(self, dimensions: int | None, shape: tuple[int, str]) -> tuple[Array, Faults]:
        """The vectors as a matrix, and what is wrong with rows that hold none; these are NaN."""
        import numpy as np

        pa = _arrow()
        column, count = self.column, len(self.column)
        if dimensions is None:
            # No vector anywhere: every row is at fault.
            dtype: Any = _TYPES.get(shape[1], "float64")
            empty = self._faults(self._given_lengths(), shape[0])
            return np.full((count, shape[0]), np.nan, dtype=dtype), empty
        lengths = self._given_lengths()
        usable = lengths == dimensions
        if self.sparse is not None and not self._is_dense()[usable].all():
            return self._filled(dimensions, usable), self._faults(lengths, dimensions)
        if usable.all() and column.null_count == 0:
            values = column.flatten()
            if values.null_count == 0:
                return _numbers(values).reshape(count, dimensions), []
        values = column.filter(pa.array(usable)).flatten()
        if not pa.types.is_floating(values.type):
            row = int(np.flatnonzero(~usable)[0]) if not usable.all() else 0
            raise _inputs.error(
                f"{self.name}: row {row} or an element of it is null, and integers have no NaN",
                "cast the column to lists of floats",
            )
        numbers = _numbers(values)
        faults = self._faults(lengths, dimensions)
        if values.null_count:
            places = np.flatnonzero(usable)
            missing = values.is_null().to_numpy(zero_copy_only=False).reshape(-1, dimensions)
            for place in np.flatnonzero(missing.any(axis=1)):
                faults.append((int(places[place]), f"element {int(missing[place].argmax())} of the vector is null"))
        matrix = np.full((count, dimensions), np.nan, dtype=numbers.dtype)
        matrix[usable] = numbers.reshape(-1, dimensions)
        return matrix, faults

    def _given_lengths(self) -> Array:
        import numpy as np

        if self.sparse is not None:
            return self._sizes()
        if hasattr(self.column.type, "list_size"):
            lengths = np.full(len(self.column), self.column.type.list_size, dtype=np.int64)
            if self.nulls is not None:
                lengths[self.nulls.to_numpy(zero_copy_only=False)] = -1
            return lengths
        return self._lengths()

    def _faults(self, lengths: Array, dimensions: int) -> Faults:
        import numpy as np

        def problem(length: int) -> str:
            if length < 0:
                return "the vector is null"
            return "the vector is empty" if length == 0 else f"a vector of {length} values, where others have {dimensions}"

        wrong = np.flatnonzero((lengths != dimensions) | (lengths <= 0))
        return [(int(row), problem(int(lengths[row]))) for row in wrong]

    def _filled(self, dimensions: int, usable: Array) -> Array:
        """Vectors of Spark ML, some of which only name the values that are not 0."""
        import numpy as np

        pa = _arrow()
        matrix = np.full((len(usable), dimensions), np.nan)
        matrix[usable] = 0
        dense = self._is_dense()
        chosen = np.flatnonzero(usable & dense)
        if len(chosen):
            matrix[chosen] = _numbers(self.column.take(pa.array(chosen)).flatten()).reshape(-1, dimensions)
        chosen = np.flatnonzero(usable & ~dense)
        indices = self.sparse.field("indices").take(pa.array(chosen))
        rows = np.repeat(chosen, indices.value_lengths().to_numpy(zero_copy_only=False))
        matrix[rows, _numbers(indices.flatten())] = _numbers(self.column.take(pa.array(chosen)).flatten())
        return matrix


def _numbers(values: Any) -> Array:
    return values.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _labels(columns: list[Any], name: str) -> Labels:
    import numpy as np

    pa = _arrow()
    if not columns:
        return Labels.from_objects(name, [])
    chunks = [chunk for column in columns for chunk in (column.chunks if isinstance(column, pa.ChunkedArray) else [column])]
    kind = chunks[0].type
    if pa.types.is_null(kind):
        return Labels.from_objects(name, [None] * sum(map(len, chunks)))
    column = pa.chunked_array(chunks)
    if not pa.types.is_dictionary(kind):
        if pa.types.is_integer(kind) and column.null_count == 0 and kind != pa.uint64():
            return Labels.from_integers(name, column.to_numpy().astype(np.int64, copy=False))
        column = column.dictionary_encode()
    column = column.unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    codes = column.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return Labels.from_codes(name, codes, column.dictionary.to_pylist())
