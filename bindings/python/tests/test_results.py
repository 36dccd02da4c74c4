"""Uses of a result."""

import json
import pickle

import embq
import numpy as np
import pytest


@pytest.fixture(scope="module")
def result(digits):
    return embq.score(*digits, intervals=True)


def test_metrics_by_name(result):
    assert result.silhouette == result["silhouette"] == result.metrics["silhouette"]
    assert "silhouette" in result and "dunn" not in result
    assert "soft_silhouette" in dir(result)
    low, high = result.intervals["silhouette"]
    assert low < result.silhouette < high
    with pytest.raises(AttributeError, match="'silhuette' was not computed: did you mean 'silhouette'"):
        result.silhuette
    with pytest.raises(KeyError, match="dunn.* was not computed"):
        result["dunn"]


def test_undefined_is_none_with_a_reason():
    result = embq.score(np.ones((4, 2)), [0, 0, 1, 1], metric="euclidean", metrics=["calinski_harabasz"])
    assert result.calinski_harabasz is None
    assert any("calinski_harabasz is undefined" in warning for warning in result.warnings)


def test_classes(result):
    classes = result.classes
    assert classes["label"].tolist() == list(range(10))
    assert classes.count.sum() == 1797
    assert len(classes) == 10 and "silhouette" in classes
    assert (classes.silhouette_low < classes.silhouette).all() and (classes.silhouette < classes.silhouette_high).all()
    assert classes.nearest_class.dtype == np.int64
    by_class = [result.rows.silhouette[result.rows.label == label].mean() for label in range(10)]
    assert np.allclose(classes.silhouette, by_class, atol=1e-12)
    with pytest.raises(AttributeError, match="no column 'median'; there are: label, count"):
        classes.median
    with pytest.raises(KeyError):
        classes["median"]


def test_rows(result, digits):
    rows = result.rows
    assert len(rows) == 1797
    assert np.array_equal(rows["label"], digits[1])
    assert np.allclose(rows["silhouette"], (rows.b - rows.a) / np.maximum(rows.a, rows.b), atol=1e-15)
    assert (rows["nearest_other"] != rows["label"]).all()
    lonely = embq.score([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]], ["x", "y", "y"])
    assert np.isnan(lonely.rows.a[0]) and lonely.rows.silhouette[0] == 0


def test_tables(result):
    pandas, polars, pa = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
    for table in (result.classes, result.rows):
        frame = table.to_pandas()
        assert isinstance(frame, pandas.DataFrame) and list(frame.columns) == table.columns
        assert isinstance(table.to_polars(), polars.DataFrame) and table.to_polars().columns == table.columns
        assert isinstance(table.to_arrow(), pa.Table) and table.to_arrow().column_names == table.columns
        assert list(table.to_dict()) == table.columns
        for name in table.columns:
            assert frame[name].tolist() == table[name].tolist() == table.to_polars()[name].to_list()
    lonely = embq.score([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]], ["x", "y", "y"]).rows
    assert lonely.to_polars()["a"].null_count() == 1 == lonely.to_arrow()["a"].null_count
    assert lonely.to_polars()["label"].to_list() == ["x", "y", "y"]
    assert "silhouette" in repr(result.classes) and "1,797 rows" in repr(result.rows)
    assert result.classes._repr_html_().count("<tr>") == 11


def test_print_is_the_table_of_the_terminal(digits, program):
    text = str(embq.score(*digits))
    finished = program("score", "fixtures/digits/embeddings.npy", "-l", "fixtures/digits/labels.npy")
    expected = finished.stdout.replace("fixtures/digits/embeddings.npy", "X", 1)
    expected = expected.replace("--temperature", "temperature")
    assert text.splitlines() == expected.splitlines()
    assert "\x1b" not in text and repr(embq.score(*digits)) == text


def test_json(result, tmp_path):
    text = result.to_json(tmp_path / "r.json")
    assert (tmp_path / "r.json").read_text() == text
    for source in (tmp_path / "r.json", str(tmp_path / "r.json"), text):
        again = embq.read_json(source)
        assert again.to_json() == text and again.metrics == result.metrics
    with pytest.raises(AttributeError, match="read from JSON"):
        again.rows
    assert again.classes.to_dict()["silhouette"] == result.classes.to_dict()["silhouette"]
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_json_of_the_program(digits, program, tmp_path):
    path = tmp_path / "r.json"
    assert program("score", "fixtures/digits/embeddings.npy", "-l", "fixtures/digits/labels.npy", "-o", path, "-q").returncode == 0
    assert embq.read_json(path).metrics == embq.score(*digits).metrics
    # Conversely, a result stored by Python is a baseline for the program.
    embq.score(*digits, intervals=True).to_json(tmp_path / "main.json")
    finished = program("compare", tmp_path / "main.json", "fixtures/digits/embeddings.npy", "-l", "fixtures/digits/labels.npy", "--format", "json")
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["candidates"][0]["metrics"]["silhouette"]["delta"] == 0


def test_pages(result, digits, tmp_path):
    page = result.to_html(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == page
    assert page.startswith("<!DOCTYPE html>") and "Silhouettes" in page and "Rows in two dimensions" not in page
    full = result.to_html(X=digits[0])
    for section in ("Rows in two dimensions", "Suspicious rows", "Spectrum"):
        assert section in full
    assert embq.score(*digits, matrix=True).to_html(X=digits[0]).count("Which classes are close") >= 1
    with pytest.raises(embq.InputError, match="row counts differ"):
        result.to_html(X=digits[0][:5])
    stored = embq.read_json(result.to_json())
    assert "Classes" in stored.to_html()


def test_what_a_notebook_shows(result):
    html = result._repr_html_()
    assert html.startswith('<div class="embq-report">') and html.endswith("</div>")
    assert "<script" not in html and "<svg" in html and "Soft silhouette" in html
    hostile = embq.score(np.eye(4) + 1, ["<script>alert(1)</script>"] * 2 + ["b"] * 2)
    assert "<script" not in hostile._repr_html_() and "<script>alert" not in hostile.classes._repr_html_()
    assert "<svg" in embq.read_json(result.to_json())._repr_html_()


def test_pickles(result, digits):
    again = pickle.loads(pickle.dumps(result))
    assert again.to_json() == result.to_json()
    for name in ("row", "label", "a", "b", "silhouette", "soft_silhouette", "nearest_other"):
        assert np.array_equal(again.rows[name], result.rows[name], equal_nan=True)
    assert again._repr_html_() == result._repr_html_()
    stored = pickle.loads(pickle.dumps(embq.read_json(result.to_json())))
    assert stored.metrics == result.metrics
    for other in (embq.compare([digits[0], digits[0][:, :9]], digits[1]), embq.suspects(*digits)):
        assert pickle.loads(pickle.dumps(other)).to_json() == other.to_json()


def test_plot(result):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    ax = result.plot()
    assert [tick.get_text() for tick in ax.get_yticklabels()][0] == "0"
    assert len(ax.patches) == 1797
    with pytest.raises(AttributeError, match="no rows"):
        embq.read_json(result.to_json()).plot()


def test_compare(digits, program_json, tmp_path):
    X, y = digits
    other = X + np.random.default_rng(0).normal(scale=0.5 * X.std(), size=X.shape).astype(np.float32)
    np.save(tmp_path / "main.npy", X)
    np.save(tmp_path / "new.npy", other)
    compared = embq.compare([X, other], y, names=["main", "new"])
    expected = program_json("compare", tmp_path / "main.npy", tmp_path / "new.npy", "-l", "fixtures/digits/labels.npy")
    expected["candidates"][0]["name"] = "new"
    assert compared.to_dict()["candidates"] == expected["candidates"]
    difference = compared["new"]["silhouette"]
    assert difference.verdict == "worse" and difference.delta < 0 and difference.interval[1] < 0
    assert difference.delta == difference.candidate - difference.baseline
    assert compared.names == ["main", "new"] and list(compared) == ["new"] and len(compared) == 1
    assert compared.best["silhouette"] == "main"
    metrics = compared.metrics
    place = metrics["metric"].tolist().index("silhouette")
    assert metrics["delta"][place] == difference.delta and metrics["low"][place] == difference.interval[0]
    assert compared.classes["count"].sum() == len(y)
    assert "main" in str(compared) and "worse" in str(compared) and "\x1b" not in str(compared)
    assert "worse" in repr(difference)
    assert embq.read_json(compared.to_json(tmp_path / "c.json")).to_dict() == compared.to_dict()
    assert "Metrics over checkpoints" in compared.to_html(tmp_path / "c.html")
    with pytest.raises(KeyError, match="no candidate 'old'; there are: new"):
        compared["old"]


def test_compare_several(digits):
    X, y = digits
    compared = embq.compare([X, X[:, :32], X[:, :48]], y)
    assert compared.names == ["baseline", "candidate 1", "candidate 2"]
    X = X.copy()
    X[5] = np.nan
    with pytest.raises(embq.InputError, match="baseline and candidate differ in rows: 1797 and 1796.*\n.*allow_mismatch=True"):
        embq.compare([digits[0], X], y, invalid="drop")
    unpaired = embq.compare([digits[0], X], y, invalid="drop", allow_mismatch=True).to_dict()["candidates"][0]
    assert not unpaired["paired"] and unpaired["mismatches"]


def test_suspects(digits, program_json):
    X, y = digits
    wrong = y.copy()
    flipped = np.arange(0, 1797, 60)
    wrong[flipped] = (wrong[flipped] + 1) % 10
    found = embq.suspects(X, wrong)
    first = found["row"][: len(flipped)]
    assert len(set(first) & set(flipped)) > 0.8 * len(flipped)
    assert found.columns == ["row", "label", "suggested", "suspicion", "silhouette", "neighbours_suggested", "neighbours_own"]
    assert (np.diff(found["suspicion"]) <= 0).all()
    right = np.isin(found["row"], flipped) & (np.arange(len(found)) < len(flipped))
    assert (found["suggested"][right] == y[found["row"][right]]).mean() > 0.8
    clean = embq.suspects(X, y)
    expected = program_json("suspects", "fixtures/digits/embeddings.npy", "-l", "fixtures/digits/labels.npy")
    assert json.loads(clean.to_json())["suspects"] == expected["suspects"]
    named = embq.suspects(X, wrong, ids=[f"row {row}" for row in range(1797)], text=np.array(["some text"] * 1797), neighbours=5)
    assert named["id"][0] == f"row {named['row'][0]}" and named["text"][0] == "some text"
    assert named["id"][0] in str(named)
    again = embq.read_json(named.to_json())
    assert again.to_dict() == named.to_dict()
    assert len(found.to_pandas()) == len(found) if pytest.importorskip("pandas") else True


def test_silhouette_loss(digits, program, tmp_path):
    X, y = digits
    for metric in ("cosine", "euclidean", "sqeuclidean"):
        path = tmp_path / "gradient.npy"
        finished = program("grad", "fixtures/digits/embeddings.npy", "-l", "fixtures/digits/labels.npy", "--gradient", path, "--distance", metric, "--format", "json")
        loss, gradient = embq.silhouette_loss(X, y, metric=metric)
        assert loss == json.loads(finished.stdout)["loss"]
        assert gradient.dtype == np.float32 and np.array_equal(gradient, np.load(path))
    X = X[:60].astype(np.float64)
    loss, gradient = embq.silhouette_loss(X, y[:60], temperature=0.05)
    assert gradient.dtype == np.float64
    assert loss == pytest.approx(1 - embq.score(X, y[:60], temperature=0.05).soft_silhouette, abs=1e-15)
    step = 1e-5
    for row, column in ((0, 3), (17, 20), (59, 60)):
        ends = []
        for sign in (1, -1):
            moved = X.copy()
            moved[row, column] += sign * step
            ends.append(embq.silhouette_loss(moved, y[:60], temperature=0.05)[0])
        assert gradient[row, column] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-10)
