"""Results, for people and programs to read."""

from __future__ import annotations

import os
from functools import cached_property

from . import _embq, _inputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

_CLASS_COLUMNS = (
    "silhouette",
    "soft_silhouette",
    "negative_share",
    "intra_mean",
    "a_std",
    "radius_mean",
    "radius_max",
    "variance",
    "separation",
    "centroid_separation",
    "margin",
    "ratio",
)
_SHOWN = 10


class Table:
    """A table of named columns, each a NumPy array.

    Columns are items (``table["silhouette"]``) and attributes (``table.silhouette``). Undefined numbers are NaN.

    Examples
    --------
    >>> import numpy as np
    >>> import embq
    >>> r = embq.score(np.eye(4) + 1, ["a", "a", "b", "b"])
    >>> r.classes.columns[:3]
    ['label', 'count', 'silhouette']
    >>> r.classes["count"].tolist()
    [2, 2]
    """

    def __init__(self, columns: dict[str, NDArray[Any]]) -> None:
        self._columns = columns

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self._columns)

    def __getitem__(self, name: str) -> NDArray[Any]:
        try:
            return self._columns[name]
        except KeyError:
            raise KeyError(f"no column {name!r}; there are: {', '.join(self._columns)}") from None

    def __getattr__(self, name: str) -> NDArray[Any]:
        columns = self.__dict__.get("_columns", {})
        if name in columns:
            return columns[name]  # type: ignore[no-any-return]
        raise AttributeError(f"no column {name!r}; there are: {', '.join(columns)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._columns]

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __len__(self) -> int:
        """The number of rows."""
        return next((len(column) for column in self._columns.values()), 0)

    def to_dict(self) -> dict[str, list[Any]]:
        """The columns as lists."""
        return {name: column.tolist() for name, column in self._columns.items()}

    def to_pandas(self) -> Any:
        """The table as a ``pandas.DataFrame``."""
        import pandas

        return pandas.DataFrame(self._columns)

    def to_polars(self) -> Any:
        """The table as a ``polars.DataFrame``, with null for undefined numbers."""
        import polars

        return polars.DataFrame({name: polars.Series(name, _plain(column)) for name, column in self._columns.items()}).fill_nan(None)

    def to_arrow(self) -> Any:
        """The table as a ``pyarrow.Table``, with null for undefined numbers."""
        import pyarrow

        return pyarrow.table({name: pyarrow.array(_plain(column), from_pandas=True) for name, column in self._columns.items()})

    def _cells(self, count: int) -> list[list[str]]:
        columns = [[name, *(_cell(value) for value in column[:count].tolist())] for name, column in self._columns.items()]
        return [list(row) for row in zip(*columns)]

    def __repr__(self) -> str:
        cells = self._cells(_SHOWN)
        numeric = [column.dtype.kind in "fiu" for column in self._columns.values()]
        widths = [max(len(row[place]) for row in cells) for place in range(len(numeric))]
        lines = [
            "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(row, widths, numeric)).rstrip()
            for row in cells
        ]
        if len(self) > _SHOWN:
            lines.append(f"... {len(self):,} rows")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from html import escape

        head, *body = self._cells(_SHOWN)
        text = "".join(f"<th>{escape(cell)}</th>" for cell in head)
        rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in body)
        more = f"<p>{len(self):,} rows</p>" if len(self) > _SHOWN else ""
        return f"<table><thead><tr>{text}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _plain(column: NDArray[Any]) -> Any:
    return column.tolist() if column.dtype == object else column


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if value == value else "-"
    return "-" if value is None else str(value)


def _numbers(values: list[Any]) -> NDArray[np.float64]:
    import numpy as np

    return np.array(values, dtype=np.float64)


def label_array(values: list[Any]) -> NDArray[Any]:
    """Labels as an array: text as objects, the rest by its type."""
    import numpy as np

    return _objects(values) if values and isinstance(values[0], str) else np.array(values)


def _objects(values: list[Any]) -> NDArray[Any]:
    import numpy as np

    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _write(text: str, path: str | os.PathLike[str] | None) -> None:
    """Write a file under a temporary name and rename it, so that it is complete or absent."""
    if path is None:
        return
    target = os.fspath(path)
    beside = f"{target}.{os.getpid()}.tmp"
    try:
        with open(beside, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.replace(beside, target)
    except BaseException:
        if os.path.exists(beside):
            os.unlink(beside)
        raise


class _Printed:
    """A result that prints and writes itself as the program does."""

    _raw: Any
    _shown_lines = 20

    def __repr__(self) -> str:
        return _embq.in_python(self._raw.table(self._shown_lines)).rstrip("\n")

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The result as JSON, the same as ``--format json`` of the program; numbers read back to the same bits.

        Parameters
        ----------
        path : path, default=None
            A file to write it to.
        """
        text: str = self._raw.json()
        _write(text, path)
        return text


class _Document(_Printed):
    """A result that is read from its JSON."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    @cached_property
    def _data(self) -> dict[str, Any]:
        import json

        return json.loads(self._raw.json())  # type: ignore[no-any-return]

    @property
    def warnings(self) -> list[str]:
        """Warnings about the result."""
        return [_embq.in_python(warning) for warning in self._data["warnings"]]

    def to_dict(self) -> dict[str, Any]:
        """The result as in its JSON."""
        return dict(self._data)


class _Measured(_Document):
    """A result with metrics, each of which is an attribute and an item by its name."""

    @property
    def metrics(self) -> dict[str, float | None]:
        """Every computed metric by its name."""
        return dict(self._data["metrics"])

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """The 95 % intervals of the metrics that have one, if they were requested."""
        return {name: (low, high) for name, (low, high) in self._data.get("intervals", {}).items()}

    @property
    def settings(self) -> dict[str, Any]:
        """The settings in effect."""
        return dict(self._data["settings"])

    def __getitem__(self, name: str) -> float | None:
        metrics = self._data["metrics"]
        if name not in metrics:
            raise KeyError(_unknown(name, metrics))
        return metrics[name]  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        own = getattr(type(self), name, None)
        if isinstance(own, property):
            # The property itself raised; run it again for its own message.
            return own.__get__(self)
        metrics = self._data["metrics"]
        if name not in metrics:
            raise AttributeError(_unknown(name, metrics))
        return metrics[name]

    def __contains__(self, name: object) -> bool:
        return name in self._data["metrics"]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self._data["metrics"] if name.isidentifier())]


class Result(_Measured):
    """The result of `score`.

    Every metric is an attribute and an item by its name: ``r.silhouette``, ``r["knn_accuracy@5"]``. An undefined metric
    is ``None``, with the reason in ``r.warnings``. ``print(r)`` shows the table of the terminal; a notebook shows the
    headline, the silhouettes of the rows and the classes.
    """

    _raw: _embq.Evaluated

    @property
    def classes(self) -> Table:
        """The classes: label, number of rows, and every metric that has values by class."""
        import numpy as np

        data = self._data
        classes = data["classes"]
        columns: dict[str, NDArray[Any]] = {
            "label": label_array(self._raw.labels()),
            "count": np.array([found["count"] for found in classes], dtype=np.int64),
        }
        for name in _CLASS_COLUMNS:
            of_metrics = "intra_mean" if name == "a_std" else name
            if of_metrics in data["metrics"]:
                columns[name] = _numbers([found[name] for found in classes])
            if any(f"{name}_uncertainty" in found for found in classes):
                ends = [found.get(f"{name}_uncertainty", {}).get("interval", (None, None)) for found in classes]
                columns[f"{name}_low"] = _numbers([low for low, _ in ends])
                columns[f"{name}_high"] = _numbers([high for _, high in ends])
        if "separation" in data["metrics"]:
            names = dict(zip((found["label"] for found in classes), self._raw.labels()))
            nearest = [names.get(found["nearest_class"]) for found in classes]
            columns["nearest_class"] = _objects(nearest) if None in nearest else label_array(nearest)
        return Table(columns)

    @property
    def rows(self) -> Table:
        """The scored rows: number, label, mean distances a and b, silhouettes, and the nearest other class.

        Raises
        ------
        AttributeError
            If the result was read from JSON or has no metrics that compare rows with classes.
        """
        if not self._raw.has_rows():
            raise AttributeError("this result has no rows: it was read from JSON, or nothing compared rows with classes")
        names = label_array(self._raw.labels())
        columns: dict[str, NDArray[Any]] = self._raw.columns()
        for name in ("label", "nearest_other"):
            columns[name] = names[columns[name]]
        return Table(columns)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Mean distances between classes (n_classes, n_classes), in the order of `classes`; within classes on the diagonal.

        Raises
        ------
        AttributeError
            If the result was computed without ``matrix=True``.
        """
        matrix = self._raw.matrix()
        if matrix is None:
            raise AttributeError("this result has no matrix of class distances: score with matrix=True")
        return matrix

    def _repr_html_(self) -> str:
        return self._raw.fragment().replace("lower --temperature", "lower temperature")

    def to_html(self, path: str | os.PathLike[str] | None = None, X: Any = None, *, n_jobs: int | None = None) -> str:
        """The result as a self-contained HTML page.

        Parameters
        ----------
        path : path, default=None
            A file to write it to.
        X : array-like of shape (n_samples, n_features), default=None
            The scored embeddings, which a result does not keep. With them, the page also shows the rows in two
            dimensions, the spectrum and suspicious rows.
        n_jobs : int, default=None
            As in `score`.
        """
        manner: _embq.Manner = {"n_jobs": n_jobs, "progress": None}
        page = self._raw.page(None if X is None else _inputs.rows(X, "X"), manner)
        _write(page, path)
        return page

    def plot(self, ax: Any = None) -> Any:
        """The silhouette plot: the rows of each class, largest silhouette first, as bars (needs matplotlib).

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            The axes to draw on; by default those of a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        import numpy as np
        from matplotlib import pyplot

        columns = self._raw.columns()
        if not columns:
            raise AttributeError("this result has no rows to draw")
        labels, silhouettes = self._raw.labels(), columns["silhouette"]
        by_class = [np.sort(silhouettes[columns["label"] == code]) for code in range(len(labels))]
        order = sorted(range(len(labels)), key=lambda code: float(by_class[code].mean()), reverse=True)
        if ax is None:
            _, ax = pyplot.subplots(figsize=(6, 1.5 + min(0.25 * len(labels), 12)))
        space = max(1, len(silhouettes) // 100)
        bottom, ticks = 0, []
        for code in order:
            values = by_class[code]
            ax.barh(np.arange(bottom, bottom + len(values)), values, height=1.0, linewidth=0)
            ticks.append(bottom + len(values) / 2)
            bottom += len(values) + space
        ax.set_yticks(ticks, [str(labels[code]) for code in order])
        if self["silhouette"] is not None:
            ax.axvline(self["silhouette"], color="black", linestyle="--", linewidth=1)
        ax.set_xlabel("silhouette")
        ax.set_ylabel("class")
        return ax

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        columns = self._raw.columns() if self._raw.has_rows() else None
        return _restored, (self._raw.json(), self._raw.labels(), columns)


def _restored(text: str, labels: list[Any], columns: dict[str, Any] | None) -> Result:
    if columns is None:
        return Result(_embq.Evaluated.read(text))
    names = ("row", "label", "a", "b", "silhouette", "soft_silhouette", "nearest_other")
    known = _embq.Labels.from_objects("y", labels)
    return Result(_embq.Evaluated.restore(text, known, *(columns[name] for name in names)))


def _unknown(name: str, metrics: dict[str, Any]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, metrics, n=1)
    hint = f"did you mean {close[0]!r}?" if close else 'metrics= says what is computed; "all" computes everything'
    return f"{name!r} was not computed: {hint}"


class Difference:
    """A metric of a candidate compared with the baseline.

    Attributes
    ----------
    baseline, candidate : float or None
        Both values.
    delta : float or None
        Candidate minus baseline.
    relative : float or None
        The delta divided by the absolute value of the baseline.
    interval : tuple of float or None
        The 95 % interval of the difference, for metrics that have one.
    p_value, adjusted_p_value : float or None
        Two-sided; the adjusted one is corrected for the number of candidates by Holm's method.
    verdict : {"better", "worse", "no_difference_shown"} or None
        None for metrics without an interval or without a better direction.
    """

    __slots__ = ("adjusted_p_value", "baseline", "candidate", "delta", "interval", "p_value", "relative", "verdict")

    def __init__(self, found: dict[str, Any]) -> None:
        self.baseline: float | None = found["baseline"]
        self.candidate: float | None = found["candidate"]
        self.delta: float | None = found["delta"]
        self.relative: float | None = found["relative"]
        ends = found["interval"]
        self.interval: tuple[float, float] | None = (ends[0], ends[1]) if ends else None
        self.p_value: float | None = found["p_value"]
        self.adjusted_p_value: float | None = found["adjusted_p_value"]
        self.verdict: str | None = found["verdict"]

    def __repr__(self) -> str:
        text = f"{_cell(self.baseline)} to {_cell(self.candidate)}, delta {_cell(self.delta)}"
        if self.interval:
            text += f" [{self.interval[0]:.4f}, {self.interval[1]:.4f}]"
        return f"<{text}{f', {self.verdict}' if self.verdict else ''}>".replace("_", " ")


class Comparison(_Document):
    """The result of `compare`.

    ``c["new"]["silhouette"]`` is the `Difference` of a candidate in a metric. ``print(c)`` shows the table of the
    terminal.
    """

    _raw: _embq.Compared
    _shown_lines = 5

    @property
    def names(self) -> list[str]:
        """The names of the checkpoints, the baseline first."""
        return [checkpoint["name"] for checkpoint in self._data["checkpoints"]]

    @property
    def best(self) -> dict[str, str]:
        """The name of the best checkpoint for each metric that has a better direction."""
        return dict(self._data["best"])

    @property
    def similarity(self) -> dict[str, NDArray[np.float64]]:
        """How similar the checkpoints are, if that was requested: for each number of `embq.similarity` a matrix
        (n_checkpoints, n_checkpoints), whose row i and column j are checkpoint i against j. NaN where undefined."""
        found = self._data.get("similarities", {"matrices": {}})
        return {name: _numbers(matrix) for name, matrix in found["matrices"].items()}

    def __getitem__(self, candidate: str) -> dict[str, Difference]:
        for found in self._data["candidates"]:
            if found["name"] == candidate:
                return {name: Difference(difference) for name, difference in found["metrics"].items()}
        names = [found["name"] for found in self._data["candidates"]]
        raise KeyError(f"no candidate {candidate!r}; there are: {', '.join(names)}")

    def __iter__(self) -> Iterator[str]:
        return iter([found["name"] for found in self._data["candidates"]])

    def __len__(self) -> int:
        """The number of candidates."""
        return len(self._data["candidates"])

    @property
    def metrics(self) -> Table:
        """One row per candidate and metric."""
        found = [
            (candidate["name"], name, difference)
            for candidate in self._data["candidates"]
            for name, difference in candidate["metrics"].items()
        ]
        differences = [difference for _, _, difference in found]
        columns = {"candidate": _objects([name for name, _, _ in found]), "metric": _objects([name for _, name, _ in found])}
        for key, source in (("baseline", "baseline"), ("value", "candidate"), ("delta", "delta"), ("relative", "relative")):
            columns[key] = _numbers([difference[source] for difference in differences])
        for place, key in enumerate(("low", "high")):
            columns[key] = _numbers([(difference["interval"] or (None, None))[place] for difference in differences])
        for key in ("p_value", "adjusted_p_value"):
            columns[key] = _numbers([difference[key] for difference in differences])
        columns["verdict"] = _objects([difference["verdict"] for difference in differences])
        return Table(columns)

    @property
    def classes(self) -> Table:
        """One row per candidate and class: the change of its silhouette."""
        import numpy as np

        found = [(candidate["name"], known) for candidate in self._data["candidates"] for known in candidate["classes"]]
        columns: dict[str, NDArray[Any]] = {
            "candidate": _objects([name for name, _ in found]),
            "label": _objects([known["label"] for _, known in found]),
            "count": np.array([known["count"] for _, known in found], dtype=np.int64),
        }
        for key, source in (("baseline", "baseline"), ("value", "candidate"), ("delta", "delta")):
            columns[key] = _numbers([known["silhouette"][source] for _, known in found])
        for place, key in enumerate(("low", "high")):
            columns[key] = _numbers([(known["silhouette"]["interval"] or (None, None))[place] for _, known in found])
        return Table(columns)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return _compared, (self._raw.json(),)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """The checkpoints as a self-contained HTML page; also written to `path`, if given."""
        page = self._raw.page()
        _write(page, path)
        return page


def _compared(text: str) -> Comparison:
    return Comparison(_embq.Compared.read(text))


_CLASS_DRIFT_COLUMNS = ("reference_share", "current_share", "psi", "mean_shift", "frechet_distance", "energy_distance")


class Drift(_Measured):
    """The result of `drift`.

    Every number is an attribute and an item by its name: ``d.mean_shift``, ``d["kid"]``. An undefined number is ``None``,
    with the reason in ``d.warnings``. ``print(d)`` shows the table of the terminal.
    """

    _raw: _embq.Drifted

    @property
    def verdict(self) -> str | None:
        """``"drift"`` where a test says that the sets differ, otherwise ``"no_drift_shown"``; None if nothing was tested."""
        return self._data["verdict"]  # type: ignore[no-any-return]

    @property
    def tests(self) -> dict[str, dict[str, Any]]:
        """The permutation tests by number: ``p_value``, ``adjusted_p_value`` (Holm) and ``verdict``."""
        return {name: dict(test) for name, test in self._data["tests"].items()}

    @property
    def classes(self) -> Table:
        """The classes of both sets: rows, shares, and what changed; without rows if the sets have no labels."""
        import numpy as np

        found = self._data["classes"]
        columns: dict[str, NDArray[Any]] = {"label": _objects([known["label"] for known in found])}
        for name in ("reference_count", "current_count"):
            columns[name] = np.array([known[name] for known in found], dtype=np.int64)
        for name in _CLASS_DRIFT_COLUMNS:
            columns[name] = _numbers([known[name] for known in found])
        tests = [known["test"] or {} for known in found]
        for name in ("p_value", "adjusted_p_value"):
            columns[name] = _numbers([test.get(name) for test in tests])
        columns["verdict"] = _objects([test.get("verdict") for test in tests])
        return Table(columns)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return _drifted, (self._raw.json(),)

    def to_html(
        self,
        path: str | os.PathLike[str] | None = None,
        reference: Any = None,
        current: Any = None,
        *,
        n_jobs: int | None = None,
    ) -> str:
        """The result as a self-contained HTML page.

        Parameters
        ----------
        path : path, default=None
            A file to write it to.
        reference, current : array-like of shape (n_samples, n_features), default=None
            The compared embeddings, which a result does not keep. With them, the page also shows both sets in two
            dimensions.
        n_jobs : int, default=None
            As in `score`.
        """
        manner: _embq.Manner = {"n_jobs": n_jobs, "progress": None}
        if (reference is None) != (current is None):
            raise _inputs.error("only one of the sets is given", "give reference and current, or neither")
        sets = None
        if reference is not None:
            sets = (_inputs.rows_or_statistics(reference, "reference"), _inputs.rows_or_statistics(current, "current"))
        page = self._raw.page(sets, manner)
        _write(page, path)
        return page


def _drifted(text: str) -> Drift:
    return Drift(_embq.Drifted.read(text))


def _suspected(text: str) -> Suspects:
    return Suspects.of_raw(_embq.Suspected.read(text))


class Suspects(_Printed, Table):
    """The result of `suspects`: one row per suspicious row, most suspicious first.

    The columns are ``row`` (its number), ``id`` and ``text`` if they were given, ``label``, ``suggested``,
    ``suspicion`` (only the order is meaningful), ``silhouette``, and the shares of neighbours that have either label.
    """

    def __init__(self, columns: dict[str, NDArray[Any]], raw: _embq.Suspected) -> None:
        super().__init__(columns)
        self._raw = raw

    @classmethod
    def of_raw(cls, raw: _embq.Suspected) -> Suspects:
        """The suspects as a table."""
        import json

        import numpy as np

        data = json.loads(raw.json())
        found = data["suspects"]
        known = [name for name in ("id", "text") if any(name in suspect for suspect in found)]
        whole = data["labels"]["label_type"] == "integer"
        columns: dict[str, NDArray[Any]] = {"row": np.array([suspect["row"] for suspect in found], dtype=np.int64)}
        for name in ("id", "label", "suggested", "suspicion", "silhouette", "neighbours_suggested", "neighbours_own", "text"):
            if name in ("id", "text") and name not in known:
                continue
            values = [suspect.get(name) for suspect in found]
            if name in ("label", "suggested") and whole:
                values = [int(value) for value in values]
            is_number = name not in ("id", "label", "suggested", "text")
            columns[name] = _numbers(values) if is_number else label_array(values)
        return cls(columns, raw)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return _suspected, (self._raw.json(),)
