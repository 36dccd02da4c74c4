"""Convert Python inputs for the extension, without copying arrays where possible."""

from __future__ import annotations

import os
import sys

from ._embq import InputError, Labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Rows: TypeAlias = (
        str
        | tuple[Array, str, str]
        | tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], int, str, str]
    )
    Set: TypeAlias = Rows | tuple[NDArray[np.float64], NDArray[np.float64], str]

_ELEMENT_TYPES = {
    "float16": "f16",
    "bfloat16": "bf16",
    "float32": "f32",
    "float64": "f64",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "u8",
    "uint16": "u16",
    "uint32": "u32",
    "uint64": "u64",
    "bool": "bool",
}


def error(problem: str, tip: str) -> InputError:
    """An error in the same form as those of the extension."""
    return InputError(f"{problem}\n  tip: {tip}")


def _package(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _on_host(value: Any) -> Any:
    """Tensors and CuPy arrays where NumPy can read them, in the memory of the host; anything else as it is."""
    package = _package(value)
    if package == "torch":
        return value.detach().cpu()
    return value.get() if package == "cupy" else value


def rows(value: Any, name: str = "X") -> Rows:
    """Embeddings as the extension takes them: a path, or a matrix with its element type."""
    if isinstance(value, (str, os.PathLike)):
        return str(os.fspath(value))  # pyright: ignore[reportUnknownArgumentType]
    import numpy as np

    value = _on_host(value)
    if _package(value) == "scipy" and hasattr(value, "tocsr"):
        return _sparse(value, name)
    element_type = None
    if _package(value) == "torch":
        array, element_type = _torch(value, name)
    elif _package(value) == "polars":
        array = _polars(value, name)
    elif _package(value) == "pyarrow":
        array = _arrow(value, name)
    elif _package(value) == "pandas":
        array = _pandas(value, name)
    elif isinstance(value, np.ma.MaskedArray):
        array = np.ma.filled(value.astype(float), np.nan)
    else:
        try:
            array = np.asarray(value)
        except ValueError as problem:
            raise error(f"{name}: rows of different lengths are not a matrix ({problem})", "give all rows the same length")
    return matrix(array, element_type, name)


def rows_or_statistics(value: Any, name: str) -> Set:
    """A set as the extension takes it: embeddings, or a pair of their mean and covariance."""
    if not isinstance(value, tuple) or len(value) != 2:  # pyright: ignore[reportUnknownArgumentType]
        return rows(value, name)
    import numpy as np

    mean, covariance = (np.asarray(part) for part in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if mean.ndim != 1 or covariance.ndim != 2:
        return rows(value, name)
    try:
        return mean.astype(np.float64), covariance.astype(np.float64), name
    except (TypeError, ValueError) as problem:
        raise error(f"{name}: the statistics are not numbers ({problem})", "give (mu, sigma), the mean and the covariance") from None


def matrix(array: Array, element_type: str | None, name: str) -> tuple[Array, str, str]:
    """A matrix with its element type, as the extension takes it; `element_type` is that of types NumPy does not know."""
    import numpy as np

    if array.dtype == object and array.ndim == 1 and len(array) and hasattr(array[0], "__len__"):
        array = _stacked(list(array), name)
    if array.ndim != 2:
        shape = f"{name}: expected a matrix of rows x dimensions, found shape {array.shape}"
        if array.ndim == 1:
            raise error(shape, f"{name}.reshape(-1, 1) is one dimension, {name}.reshape(1, -1) one row")
        if array.ndim == 3:
            raise error(shape, f"make one vector of each row first: {name}.mean(axis=1) pools its tokens")
        raise error(shape, f"{name}.reshape({len(array) if array.ndim else 1}, -1) has one row per entry of the first axis")
    if array.dtype == object:
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as problem:
            raise error(f"{name}: not all values are numbers ({problem})", f"give the columns of numbers, or {name}.astype(float)")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    found = element_type or _ELEMENT_TYPES.get(array.dtype.name)
    if found is None and array.dtype.kind == "f":
        array, found = array.astype(np.float64), "f64"
    if found is None:
        tip = f"{name}.real and {name}.imag side by side are real" if array.dtype.kind == "c" else "embeddings are floats or integers"
        raise error(f"{name}: {array.dtype} cannot be used as embeddings", tip)
    if found == "bf16" and array.dtype.kind not in "iu":
        array = array.view(np.uint16)
    if found == "bool":
        array, found = array.view(np.uint8), "u8"
    return array, found, name


def _stacked(vectors: list[Any], name: str) -> Array:
    import numpy as np

    length = len(vectors[0])
    for row, vector in enumerate(vectors):
        if vector is None or not hasattr(vector, "__len__"):
            raise error(f"{name}: row {row} is not a vector: {vector!r}", "leave these rows and their labels out")
        if len(vector) != length:
            raise error(
                f"{name}: row {row} has {len(vector)} values, and row 0 has {length}", "give all rows the same length"
            )
    return np.stack([np.asarray(vector) for vector in vectors])


def _sparse(value: Any, name: str) -> Rows:
    import numpy as np

    matrix = value.tocsr()
    element_type = _ELEMENT_TYPES.get(matrix.dtype.name)
    if element_type is None or matrix.ndim != 2:
        raise error(f"{name}: a sparse {matrix.dtype} array of shape {matrix.shape} cannot be used as embeddings", f"{name}.toarray()")
    return (
        np.ascontiguousarray(matrix.indptr, dtype=np.int64),
        np.ascontiguousarray(matrix.indices, dtype=np.int64),
        np.ascontiguousarray(matrix.data, dtype=np.float64),
        int(matrix.shape[1]),
        "u8" if element_type == "bool" else element_type,
        name,
    )


def _torch(value: Any, name: str) -> tuple[Array, str | None]:
    torch = sys.modules["torch"]
    if value.layout != torch.strided:
        value = value.to_dense()
    value = value.resolve_conj()
    if value.dtype == torch.bfloat16:
        return value.view(torch.int16).numpy(), "bf16"
    try:
        return value.numpy(), None
    except TypeError:
        raise error(f"{name}: {value.dtype} cannot be used as embeddings", f"{name}.float()") from None


def _polars(value: Any, name: str) -> Array:
    import numpy as np

    polars = sys.modules["polars"]
    if isinstance(value, polars.DataFrame):
        if value.width == 1 and isinstance(value.dtypes[0], (polars.Array, polars.List)):
            return _polars(value.to_series(), name)
        wrong = [column for column, dtype in zip(value.columns, value.dtypes) if not dtype.is_numeric()]
        if wrong:
            raise error(f"{name}: the column {wrong[0]!r} is {value.schema[wrong[0]]}", f"select the embeddings: {name}.select(cs.float())")
        return np.asarray(value.to_numpy())
    if value.null_count():
        row = value.is_null().arg_max()
        raise error(f"{name}: row {row} is null; {value.null_count()} row(s) are null", "leave these rows and their labels out")
    if isinstance(value.dtype, polars.List):
        lengths = value.list.len()
        if lengths.n_unique() > 1:
            row = (lengths != lengths[0]).arg_max()
            raise error(f"{name}: row {row} has {lengths[row]} values, and row 0 has {lengths[0]}", "give all rows the same length")
        value = value.list.to_array(lengths[0] if len(lengths) else 1)
    return np.asarray(value.to_numpy())


def _arrow(value: Any, name: str) -> Array:
    import numpy as np

    pa = sys.modules["pyarrow"]
    if isinstance(value, (pa.Table, pa.RecordBatch)):
        columns = [_arrow_column(column) for column in value.columns]
        return np.column_stack(columns) if value.num_columns != 1 else _arrow(value.column(0), name)
    if isinstance(value, pa.ChunkedArray):
        value = value.chunk(0) if value.num_chunks == 1 else value.combine_chunks()
    if value.null_count:
        row = value.is_null().index(True).as_py()
        raise error(f"{name}: row {row} is null; {value.null_count} row(s) are null", "leave these rows and their labels out")
    if pa.types.is_fixed_size_list(value.type):
        return _arrow_column(value.flatten()).reshape(len(value), value.type.list_size)
    if pa.types.is_list(value.type) or pa.types.is_large_list(value.type):
        lengths = value.value_lengths().to_numpy(zero_copy_only=False)
        wrong = np.flatnonzero(lengths != lengths[:1])
        if len(wrong):
            row = int(wrong[0])
            raise error(f"{name}: row {row} has {lengths[row]} values, and row 0 has {lengths[0]}", "give all rows the same length")
        return _arrow_column(value.flatten()).reshape(len(value), int(lengths[0]) if len(lengths) else 0)
    return _arrow_column(value)


def _arrow_column(value: Any) -> Array:
    pa = sys.modules["pyarrow"]
    if isinstance(value, pa.ChunkedArray):
        return value.to_numpy()  # type: ignore[no-any-return]
    return value.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _pandas(value: Any, name: str) -> Array:
    import numpy as np

    if hasattr(value, "columns"):
        wrong = [column for column, dtype in value.dtypes.items() if dtype.kind not in "fiub"]
        if wrong and not (len(value.columns) == 1 and value.dtypes.iloc[0] == object):
            raise error(
                f"{name}: the column {wrong[0]!r} is {value.dtypes[wrong[0]]}", f'select the embeddings: {name}.select_dtypes("number")'
            )
        if wrong:
            value = value.iloc[:, 0]
        elif any(not isinstance(dtype, np.dtype) for dtype in value.dtypes):
            return np.asarray(value.to_numpy(dtype=np.float64, na_value=np.nan))
    return np.asarray(value.to_numpy())


def labels(value: Any, name: str = "y") -> str | Labels:
    """Labels as the extension takes them: a path or column, or codes with a dictionary."""
    if isinstance(value, (str, os.PathLike)):
        return str(os.fspath(value))  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, Labels):
        return value
    package = _package(value)
    if package == "pandas":
        return _pandas_labels(value, name)
    if package == "polars":
        return _polars_labels(value, name)
    if package == "pyarrow":
        return _arrow_labels(value, name)
    if isinstance(value, (list, tuple)):
        return Labels.from_objects(name, value)
    import numpy as np

    return _numpy_labels(np.asarray(_on_host(value)), name)


def _numpy_labels(array: Array, name: str) -> Labels:
    import numpy as np

    if array.ndim == 2 and array.shape[1] == 1:
        array = array.ravel()
    if array.ndim != 1:
        tip = f"{name}.argmax(axis=1) is the class of each row" if array.ndim == 2 else "give one label per row"
        raise error(f"{name}: expected one label per row, found shape {array.shape}", tip)
    kind = array.dtype.kind
    if kind == "b":
        return Labels.from_booleans(name, array)
    if kind in "iu" and not (array.dtype == np.uint64 and len(array) and array.max() > np.iinfo(np.int64).max):
        return Labels.from_integers(name, array.astype(np.int64, copy=False))
    if kind == "f" and np.isfinite(array).all() and (array == np.trunc(array)).all() and (np.abs(array) < 2**53).all():
        return Labels.from_integers(name, array.astype(np.int64))
    if kind == "U" and array.dtype.itemsize:
        array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
        return Labels.from_text(name, array.view(np.uint32).reshape(len(array), -1))
    if kind == "S":
        return _numpy_labels(np.char.decode(array, "utf-8"), name)
    if kind in "mM":
        raise error(f"{name}: {array.dtype} cannot be used as labels", f"{name}.astype(str)")
    return Labels.from_objects(name, array.tolist())


def _coded(name: str, codes: Any, categories: list[Any]) -> Labels:
    import numpy as np

    plain = (str, bool, int)
    if not all(isinstance(category, plain) for category in categories):
        categories = [category.item() if hasattr(category, "item") else category for category in categories]
        if not all(isinstance(category, plain) for category in categories):
            categories = [str(category) for category in categories]
    return Labels.from_codes(name, np.asarray(codes).astype(np.int64, copy=False), categories)


def _pandas_labels(value: Any, name: str) -> Labels:
    if hasattr(value, "columns"):
        if len(value.columns) != 1:
            raise error(f"{name}: a table of {len(value.columns)} columns, not one of labels", f'give the column: {name}["label"]')
        value = value.iloc[:, 0]
    dtype = value.dtype
    if hasattr(dtype, "categories"):
        coded = value.cat if hasattr(value, "cat") else value
        return _coded(name, coded.codes, list(coded.categories))
    import numpy as np

    if isinstance(dtype, np.dtype):
        return _numpy_labels(value.to_numpy(), name)
    if dtype.kind in "iub" and not value.isna().any():
        return _numpy_labels(value.to_numpy(dtype=bool if dtype.kind == "b" else np.int64), name)
    codes, categories = value.factorize()
    return _coded(name, codes, list(categories))


def _polars_labels(value: Any, name: str) -> Labels:
    polars = sys.modules["polars"]
    if isinstance(value, polars.DataFrame):
        if value.width != 1:
            raise error(f"{name}: a table of {value.width} columns, not one of labels", f'give the column: {name}["label"]')
        value = value.to_series()
    if value.dtype == polars.Categorical:
        value = value.cast(polars.String)
    if value.dtype == polars.String:
        value = value.cast(polars.Enum(value.drop_nulls().unique()))
    if value.dtype == polars.Enum:
        codes = value.to_physical().cast(polars.Int64).fill_null(-1).to_numpy()
        return _coded(name, codes, value.dtype.categories.to_list())
    if value.null_count() == 0 and (value.dtype.is_integer() or value.dtype == polars.Boolean):
        return _numpy_labels(value.to_numpy(), name)
    return Labels.from_objects(name, value.to_list())


def _arrow_labels(value: Any, name: str) -> Labels:
    pa = sys.modules["pyarrow"]
    if not pa.types.is_dictionary(value.type):
        value = value.dictionary_encode()
    if isinstance(value, pa.ChunkedArray):
        value = value.unify_dictionaries().combine_chunks()
        if isinstance(value, pa.ChunkedArray):
            value = value.chunk(0)
    codes = value.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
    return _coded(name, codes, value.dictionary.to_pylist())


def weights(value: Any, name: str = "sample_weight") -> str | NDArray[np.float64] | None:
    """Row weights as the extension takes them."""
    if value is None:
        return None
    if isinstance(value, (str, os.PathLike)):
        return str(os.fspath(value))  # pyright: ignore[reportUnknownArgumentType]
    import numpy as np

    array = np.asarray(_on_host(value), dtype=np.float64)
    if array.ndim != 1:
        raise error(f"{name}: expected one weight per row, found shape {array.shape}", f"{name}.ravel()")
    return array
