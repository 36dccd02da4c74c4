"""Parts of rows, whose states merge to the result of all rows."""

import embq
import numpy as np
import pytest
from embq import _batches, partial

METRICS = ["usual", "calinski_harabasz", "davies_bouldin", "nc2", "nc4"]


@pytest.fixture(scope="module")
def rows():
    """900 x 12 float64 rows in 6 classes, one of which only the last rows have."""
    rng = np.random.default_rng(5)
    y = np.concatenate([rng.integers(0, 5, 860), np.full(40, 5)])
    return rng.normal(size=(900, 12)) + 3 * rng.normal(size=(6, 12))[y] + 20, y


def close(found, expected):
    assert found.metrics.keys() == expected.metrics.keys()
    for name, value in expected.metrics.items():
        assert found[name] == pytest.approx(value, rel=1e-12, abs=1e-13), name
    assert found.classes.columns == expected.classes.columns
    for name in expected.classes.columns:
        column, wanted = found.classes[name], expected.classes[name]
        if wanted.dtype.kind == "f":
            np.testing.assert_allclose(column, wanted, rtol=1e-12, atol=1e-13, err_msg=name)
        else:
            assert column.tolist() == wanted.tolist(), name
    for own, theirs in zip(found.to_dict()["classes"], expected.to_dict()["classes"]):
        assert own.get("confused_with") == theirs.get("confused_with")


def merged(parts, **options):
    """The result of parts, each of which goes through both passes."""
    columns = {name: options.pop(name) for name in ("embedding", "label") if name in options}
    moments = partial.merge(partial.moments(part, **columns, **options) for part in parts)
    return partial.finish([partial.scores(part, moments, **columns) for part in parts], moments)


@pytest.mark.parametrize("metric", ["cosine", "sqeuclidean"])
def test_any_parts_give_the_result_of_the_whole(rows, metric):
    X, y = rows
    whole = embq.score(X, y, metric=metric, metrics=METRICS)
    rng = np.random.default_rng(7)
    for count in (1, 2, 7, 30):
        part = np.sort(rng.integers(0, count, len(X)) * rng.integers(0, 2, len(X)))
        parts = [(X[part == number], y[part == number]) for number in range(count)]
        close(merged(parts, metric=metric, metrics=METRICS), whole)
    close(merged([(X[:1], y[:1]), (X[1:], y[1:])], metric=metric, metrics=METRICS), whole)


def same_intervals(found, whole, tolerance=1e-9):
    """Those of states are 1.96 standard errors to both sides."""
    assert found.intervals.keys() == whole.intervals.keys() and len(found.intervals) > 8
    expected = whole.to_dict()["standard_errors"]
    for name, (low, high) in found.intervals.items():
        assert (high - low) / 2 / 1.959963984540054 == pytest.approx(expected[name], rel=tolerance), name
        assert (high + low) / 2 == pytest.approx(whole[name], rel=1e-9), name


def test_intervals_have_the_standard_errors_of_the_whole(rows):
    X, y = rows
    whole = embq.score(X, y, intervals=True)
    parts = [(X[:1], y[:1]), (X[1:500], y[1:500]), (X[500:], y[500:])]
    moments = partial.merge(partial.moments(part) for part in parts)
    scores = partial.merge(partial.scores(part, moments, intervals=True) for part in parts)
    states = [partial.influence(part, moments, scores) for part in parts]
    found = partial.finish(reversed(states), moments, scores)
    close(found, whole)
    same_intervals(found, whole)
    assert found.to_dict()["interval_method"] == "standard_errors"
    errors = [[row["silhouette_uncertainty"]["standard_error"] for row in result.to_dict()["classes"]] for result in (found, whole)]
    np.testing.assert_allclose(*errors, rtol=1e-9)
    with pytest.raises(embq.InputError, match="the influence of 1 of 3 parts is missing"):
        partial.finish(states[1:], moments, scores)
    with pytest.raises(embq.InputError, match="needs the scores of all parts"):
        partial.finish(states, moments)
    with pytest.raises(embq.InputError, match="do not hold the sums that intervals follow from"):
        plain = partial.merge(partial.scores(part, moments) for part in parts)
        partial.influence(parts[0], moments, plain)
    with pytest.raises(embq.InputError, match="scores: the state holds moments"):
        partial.influence(parts[0], moments, moments)


def test_moments_alone_and_the_matrix(rows):
    X, y = rows
    whole = embq.score(X, y, metrics=["calinski_harabasz"])
    found = partial.finish([partial.moments((X[:300], y[:300]), metrics="calinski_harabasz"), partial.moments((X[300:], y[300:]), metrics="calinski_harabasz")])
    assert found.calinski_harabasz == pytest.approx(whole.calinski_harabasz, rel=1e-12)
    moments = partial.moments((X, y))
    found = partial.finish(partial.scores((X, y), moments), moments, matrix=True)
    np.testing.assert_allclose(found.matrix, embq.score(X, y, matrix=True).matrix, rtol=1e-12)


def test_rows_have_the_scores_of_the_whole(rows):
    X, y = rows
    whole = embq.score(X, y).rows
    moments = partial.merge([partial.moments((X[:200], y[:200])), partial.moments((X[200:], y[200:]))])
    state, table = partial.scores((X[200:], y[200:]), moments, rows=True)
    assert state == partial.scores((X[200:], y[200:]), moments)
    assert table["row"].tolist() == list(range(700)) and table["label"].tolist() == whole["label"][200:].tolist()
    assert table["nearest_other"].tolist() == whole["nearest_other"][200:].tolist()
    for name in ("a", "b", "silhouette", "soft_silhouette"):
        np.testing.assert_allclose(table[name], whole[name][200:], rtol=1e-12, atol=1e-13)
    _, table = partial.scores([], moments, rows=True)
    assert len(table) == 0 and table.columns == whole.columns


def test_several_batches_are_one_part(rows, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    X, y = rows
    table = pa.table({"embedding": pa.array(list(X)), "label": y})
    at_once = partial.moments(table)
    monkeypatch.setattr(_batches, "BLOCK_BYTES", 1)
    batches = table.to_batches(max_chunksize=70)
    moments = partial.moments(iter(batches))
    assert len(batches) == 13 and moments != at_once
    state, found = partial.scores(iter(batches), moments, rows=True)
    assert found["row"].tolist() == list(range(900))
    result = partial.finish(state, moments)
    close(result, embq.score(X, y))
    # The part is the same, whatever its blocks: its content, and the hash of its labels.
    monkeypatch.undo()
    whole = partial.finish(partial.scores(table, at_once), at_once)
    assert whole.to_dict()["labels"] == result.to_dict()["labels"]
    assert partial.merge([moments]) == moments
    with pytest.raises(embq.InputError, match="the same part would count twice"):
        partial.merge([moments, at_once])


LAYOUTS = ["list", "large_list", "fixed", "sliced", "chunks", "spark", "sparse", "tensor", "polars", "reader", "arrays"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_columns_as_engines_keep_them(rows, layout):
    pa = pytest.importorskip("pyarrow")
    X, y = rows[0].copy(), rows[1]
    X[::3, 4:] = 0
    names = np.array(["a", "b", "c", "d", "e", "f"])[y]
    plain = pa.table({"embedding": pa.array(list(X)), "label": names})
    expected = partial.moments(plain)
    label = pa.array(names)
    if layout == "polars":
        polars = pytest.importorskip("polars")
        given = polars.DataFrame({"embedding": polars.Series(X, dtype=polars.Array(polars.Float64, 12)), "label": names.tolist()})
    elif layout == "reader":
        given = pa.RecordBatchReader.from_batches(plain.schema, plain.to_batches(max_chunksize=100))
    elif layout == "arrays":
        given = [(X[:500], names[:500]), (X[500:], names[500:])]
    else:
        column = {
            "list": lambda: pa.array(list(X)),
            "large_list": lambda: pa.array(list(X), pa.large_list(pa.float64())),
            "fixed": lambda: pa.FixedSizeListArray.from_arrays(X.ravel(), 12),
            "sliced": lambda: pa.FixedSizeListArray.from_arrays(np.concatenate([X[:7], X]).ravel(), 12).slice(7),
            "chunks": lambda: pa.chunked_array([pa.array(list(X[:100])), pa.array(list(X[100:]))]),
            "spark": lambda: spark_vectors(pa, X, sparse=()),
            "sparse": lambda: spark_vectors(pa, X, sparse=range(0, 900, 3)),
            "tensor": lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(X)),
        }[layout]()
        if layout in ("list", "fixed"):
            label = label.dictionary_encode()
        given = pa.table({"embedding": column, "label": label})
    moments = partial.moments(given)
    if layout == "arrays":
        close(partial.finish(partial.scores(given, moments), moments), embq.score(X, names))
    else:
        assert moments == expected


def spark_vectors(pa, X, sparse):
    """Vectors as Spark ML's VectorUDT stores them: 0 is sparse, 1 is dense."""
    kind = pa.struct([("type", pa.int8()), ("size", pa.int32()), ("indices", pa.list_(pa.int32())), ("values", pa.list_(pa.float64()))])
    values = []
    for place, row in enumerate(X):
        if row is None:
            values.append(None)
        elif place in sparse:
            at = np.flatnonzero(row)
            values.append({"type": 0, "size": len(row), "indices": at.tolist(), "values": row[at].tolist()})
        else:
            values.append({"type": 1, "size": None, "indices": None, "values": row.tolist()})
    return pa.array(values, kind)


@pytest.mark.parametrize("kind", ["list", "fixed"])
def test_lists_are_not_copied(rows, kind):
    pa = pytest.importorskip("pyarrow")
    X = np.ascontiguousarray(rows[0])
    values = pa.array(X.ravel())
    column = pa.FixedSizeListArray.from_arrays(values, 12) if kind == "fixed" else pa.ListArray.from_arrays(np.arange(0, 901 * 12, 12, dtype=np.int32), values)
    batch = pa.record_batch({"embedding": column, "label": rows[1]}).slice(100, 300)
    ((vectors, labels),) = _batches.batches_of(batch, "embedding", "label")
    piece = _batches.Part("df", "embedding", "label").piece([(vectors, labels)])
    ((array, element_type, faults),) = piece["batches"]
    assert np.shares_memory(array, values.to_numpy()) and (element_type, faults) == ("f64", [])
    assert (array == X[100:400]).all()


@pytest.mark.parametrize("kind", ["list", "fixed", "spark"])
def test_null_rows_are_refused_or_dropped(rows, kind, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    X, y = rows
    monkeypatch.setattr(_batches, "BLOCK_BYTES", 8000)
    missing = [3, 250, 251, 899]
    vectors = [None if row in missing else vector for row, vector in enumerate(X)]
    column = spark_vectors(pa, vectors, sparse=()) if kind == "spark" else pa.array(vectors, pa.list_(pa.float64(), 12 if kind == "fixed" else -1))
    table = pa.table({"embedding": column, "label": y})
    # A part that holds nothing else.
    batches = [*table.slice(250, 2).to_batches(), *table.slice(0, 250).to_batches(max_chunksize=60), *table.slice(252).to_batches(max_chunksize=60)]
    with pytest.raises(embq.InputError, match=rf"batches:embedding: row 3: the vector is null; 1 row\(s\) cannot be used\n  tip: .*invalid=\"drop\""):
        partial.moments(table.slice(0, 200))
    with pytest.raises(embq.InputError, match="row 899: the vector is null"):
        partial.moments([*[table.slice(4, 246)] * 3, table.slice(4, 161), table.slice(250, 1)])
    close(merged([batches], invalid="drop"), embq.score(np.delete(X, missing, axis=0), np.delete(y, missing)))
    parts = [table.slice(250, 2), table.slice(0, 250), table.slice(252)]
    result = merged(parts, invalid="drop")
    close(result, embq.score(np.delete(X, missing, axis=0), np.delete(y, missing)))
    assert result.to_dict()["excluded"]["invalid"] == 4


def test_rows_that_are_no_vectors_say_so(rows):
    pa = pytest.importorskip("pyarrow")
    X, y = rows
    cases = {
        "a vector of 3 values, where others have 12": [1.0, 2.0, 3.0],
        "the vector is empty": [],
        "element 2 of the vector is null": [1.0, 2.0, None, *[4.0] * 9],
    }
    for problem, vector in cases.items():
        vectors = [*X[:5].tolist(), vector, *X[5:].tolist()]
        table = pa.table({"embedding": pa.array(vectors, pa.list_(pa.float64())), "label": np.insert(y, 5, 0)})
        with pytest.raises(embq.InputError, match=f"row 5: {problem}"):
            partial.moments(table)
        close(merged([table], invalid="drop"), embq.score(X, y))
    with pytest.raises(embq.InputError, match="string is not a column of vectors"):
        partial.moments(pa.table({"embedding": ["a"], "label": [1]}))
    with pytest.raises(embq.InputError, match="there is no column 'vector'\n  tip: .*embedding, label"):
        partial.moments(table, embedding="vector")
    with pytest.raises(embq.InputError, match="integers have no NaN"):
        partial.moments(pa.table({"embedding": [[1, 2], None], "label": [1, 2]}))
    with pytest.raises(embq.InputError, match="is neither an Arrow table"):
        partial.moments(3)


def test_zero_vectors_nan_and_labels_are_refused_or_dropped(rows, monkeypatch):
    pa = pytest.importorskip("pyarrow")
    X, y = rows[0].copy(), rows[1].astype(object)
    monkeypatch.setattr(_batches, "BLOCK_BYTES", 5000)
    X[600], X[700, 3], y[500] = 0, np.nan, None
    table = pa.table({"embedding": pa.array(list(X)), "label": pa.array(y.tolist(), pa.int32())})
    batches = table.to_batches(max_chunksize=64)
    with pytest.raises(embq.InputError, match=r"batches:label: row 500 has no label; 1 label\(s\) are missing\n  tip: .*missing=\"drop\""):
        partial.moments(batches)
    with pytest.raises(embq.InputError, match=r"batches:embedding: row 600 is a zero vector"):
        partial.moments(batches, missing="drop")
    with pytest.raises(embq.InputError, match="batches:embedding: NaN in row 700, column 3"):
        partial.moments(batches, missing="drop", metric="sqeuclidean")
    left = np.setdiff1d(np.arange(900), [500, 600, 700])
    close(merged([batches[:5], batches[5:]], missing="drop", invalid="drop"), embq.score(X[left], y[left].astype(int)))


def test_choices_of_rows(rows):
    X, y = rows
    options = {"exclude": 5, "ignore_label": [0]}
    close(merged([(X[:400], y[:400]), (X[400:], y[400:])], **options), embq.score(X, y, **options))
    with pytest.raises(embq.InputError, match="no row of y has the label '9'"):
        merged([(X, y)], exclude=9)


def test_parts_without_rows(rows):
    pa = pytest.importorskip("pyarrow")
    X, y = rows
    table = pa.table({"embedding": pa.array(list(X)), "label": y})
    close(merged([[], table.slice(0, 0), table, (X[:0], y[:0])]), embq.score(X, y))
    empty = partial.merge([partial.moments([]), partial.moments([])])
    with pytest.raises(embq.InputError, match="a silhouette needs at least 2 classes, found 0 in 0 rows"):
        partial.scores([], empty)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_whole_numbers_as_labels_and_other_types(rows, dtype):
    pa = pytest.importorskip("pyarrow")
    X, y = rows[0].astype(dtype), rows[1]
    expected = partial.moments(pa.table({"embedding": pa.array(list(X)), "label": y}))
    as_double = pa.table({"embedding": pa.array(list(X)), "label": pa.array(y.astype(float))})
    assert partial.moments(as_double) == expected
    as_small = pa.table({"embedding": pa.array(list(X)), "label": pa.array(y.astype(np.uint8))})
    assert partial.moments(as_small) == expected
    yes = y > 2
    as_truth = pa.table({"embedding": pa.array(list(X)), "label": yes})
    if dtype == "float64":
        close(merged([as_truth]), embq.score(X, yes))
    with pytest.raises(embq.InputError, match="differ in dtype|differ in label type"):
        partial.merge([expected, partial.moments((rows[0].astype("float16"), y.astype(str)))])


def test_states_of_the_program_merge(rows, program, tmp_path):
    X, y = rows
    for part, chosen in (("a", slice(0, 400)), ("b", slice(400, None))):
        np.save(tmp_path / f"{part}.npy", X[chosen])
        np.save(tmp_path / f"{part}_labels.npy", y[chosen])

    def run(line):
        finished = program(*line.split(), cwd=tmp_path)
        assert finished.returncode == 0, finished.stderr

    run("partial a.npy -l a_labels.npy -o a.arrow")
    own = partial.moments((X[400:], y[400:]))
    (tmp_path / "b.arrow").write_bytes(own)
    run("merge a.arrow b.arrow -o moments.arrow")
    moments = (tmp_path / "moments.arrow").read_bytes()
    assert moments == partial.merge([own, (tmp_path / "a.arrow").read_bytes()])
    run("partial b.npy -l b_labels.npy --moments moments.arrow -o scores.arrow")
    first = partial.scores((X[:400], y[:400]), moments)
    pa = pytest.importorskip("pyarrow")
    schema = pa.schema({"embedding": pa.list_(pa.float32()), "label": pa.string()})
    pytest.importorskip("pyarrow.parquet").write_table(schema.empty_table(), tmp_path / "none.parquet")
    run("partial none.parquet:embedding -l label -o none.arrow")
    assert partial.merge([(tmp_path / "none.arrow").read_bytes(), moments]) != moments
    close(partial.finish([first, (tmp_path / "scores.arrow").read_bytes()], moments), embq.score(X, y))


def altered(state):
    """The state with another number in the middle of its columns."""
    middle = len(state) // 2
    return state[:middle] + bytes([state[middle] ^ 1]) + state[middle + 1 :]


def test_what_does_not_belong_together_is_refused(rows):
    X, y = rows
    parts = [(X[:300], y[:300]), (X[300:600], y[300:600]), (X[600:], y[600:])]
    states = [partial.moments(part) for part in parts]
    moments = partial.merge(states)
    scores = [partial.scores(part, moments) for part in parts]
    for message, call in {
        "the same part would count twice": lambda: partial.merge([states[0], states[0]]),
        "differ in temperature": lambda: partial.merge([states[0], partial.moments(parts[1], temperature=0.2)]),
        "1 of 3 parts are missing": lambda: partial.finish(scores[:2], moments),
        "some states are moments, and some are scores": lambda: partial.merge([states[0], scores[0]]),
        "needs the moments": lambda: partial.finish(scores),
        "made with other moments": lambda: partial.finish(scores, partial.merge(states[:2])),
        "moments: the state holds scores": lambda: partial.scores(parts[0], scores[0]),
        "it was altered": lambda: partial.merge([altered(states[0])]),
        "truncated": lambda: partial.merge([states[0][:-3]]),
        "it is not a state of embq": lambda: partial.merge([b"nothing"]),
        "there are no states": lambda: partial.merge([]),
        "its rows or labels changed since": lambda: partial.scores((X[:299], y[:299]), moments),
        "euclidean distances compare all pairs": lambda: partial.moments(parts[0], metric="euclidean"),
        "recall searches all rows": lambda: partial.moments(parts[0], metrics="recall"),
        "cannot be found from parts": lambda: partial.moments(parts[0], temperature="auto"),
    }.items():
        with pytest.raises(embq.InputError, match=message):
            call()


def test_the_same_rows_twice_need_names(rows):
    X, y = rows
    moments = partial.merge([partial.moments((X, y), part="one"), partial.moments((X, y), part="two")])
    scores = [partial.scores((X, y), moments, part=part) for part in ("one", "two")]
    close(partial.finish(scores, moments), embq.score(np.concatenate([X, X]), np.concatenate([y, y])))
