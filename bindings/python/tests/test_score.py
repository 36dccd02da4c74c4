"""`score` gives the same numbers as the program, bit for bit."""

import json

import embq
import numpy as np
import pytest

FILES = ("fixtures/digits/embeddings.npy", "-l", "fixtures/digits/labels.npy")


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "sqeuclidean", "manhattan"])
def test_every_distance_gives_the_bits_of_the_program(digits, program_json, same_numbers, metric):
    X, y = digits
    same_numbers(embq.score(X, y, metric=metric).to_dict(), program_json("score", *FILES, "--distance", metric))


@pytest.mark.parametrize(
    ("parameters", "options"),
    [
        ({"metrics": "all", "k": [1, 3]}, ["--metrics", "all", "--k", "1,3"]),
        ({"metrics": ["silhouette", "retrieval"]}, ["--metrics", "silhouette,retrieval"]),
        ({"metrics": "silhouette,retrieval"}, ["--metrics", "silhouette,retrieval"]),
        ({"intervals": True}, ["--intervals"]),
        ({"temperature": "auto"}, ["--temperature", "auto"]),
        ({"temperature": 0.02, "softmin": "lse", "softmax": "hard"}, ["--temperature", "0.02", "--softmin", "lse", "--softmax", "hard"]),
        ({"precision": "float64"}, ["--precision", "f64"]),
        ({"batch_size": 128, "random_state": 7}, ["--batch-size", "128", "--seed", "7"]),
        ({"subsample": 300, "random_state": 3}, ["--subsample", "300", "--seed", "3"]),
        ({"ignore_label": 3, "exclude": [1, 2]}, ["--ignore-label", "3", "--exclude", "1", "--exclude", "2"]),
        ({"include": ["4", "5", "6"]}, ["--include", "4", "--include", "5", "--include", "6"]),
        ({"min_class_size": 180}, ["--min-class-size", "180"]),
        ({"metrics": "uniformity", "sample": 200}, ["--metrics", "uniformity", "--sample", "200"]),
        ({"hash": True}, ["--hash"]),
        ({"within": 0.02}, ["--within", "0.02"]),
        ({"metrics": "clustering", "clustering": "mteb"}, ["--metrics", "clustering", "--clustering", "mteb"]),
    ],
)
def test_parameters_mean_what_options_mean(digits, program_json, same_numbers, parameters, options):
    X, y = digits
    same_numbers(embq.score(X, y, **parameters).to_dict(), program_json("score", *FILES, *options))


def test_weights(digits, program_json, same_numbers, tmp_path):
    X, y = digits
    weights = np.linspace(0.5, 2, len(y))
    np.save(tmp_path / "weights.npy", weights)
    expected = program_json("score", *FILES, "--row-weights", tmp_path / "weights.npy")
    result = embq.score(X, y, sample_weight=weights)
    same_numbers(result.to_dict(), expected)
    assert result.silhouette != embq.score(X, y).silhouette


def test_batches(digits, program_json, same_numbers, tmp_path):
    X, y = digits
    batch = np.arange(len(y)) % 3
    np.save(tmp_path / "batch.npy", batch)
    expected = program_json("score", *FILES, "--metrics", "single_cell", "--batch", tmp_path / "batch.npy")
    same_numbers(embq.score(X, y, metrics="single_cell", batch=batch).to_dict(), expected)


def test_clusters(digits, program_json, same_numbers, tmp_path):
    X, y = digits
    clusters = (y + (np.arange(len(y)) % 5 == 0)) % 10
    np.save(tmp_path / "clusters.npy", clusters)
    expected = program_json("score", *FILES, "--metrics", "clustering", "--clusters", tmp_path / "clusters.npy")
    result = embq.score(X, y, metrics="clustering", clusters=clusters)
    same_numbers(result.to_dict(), expected)
    expected = program_json("score", *FILES, "--metrics", "ridge_probe_accuracy", "--probe-alpha", "30")
    same_numbers(embq.score(X, y, metrics="ridge_probe_accuracy", probe_alpha=30).to_dict(), expected)
    for parameters in ({"clusters": clusters}, {"metrics": "probe", "probe_alpha": 0}):
        with pytest.raises(embq.InputError):
            embq.score(X, y, **parameters)


def test_a_gallery(digits, program_json, same_numbers, tmp_path):
    X, y = digits
    for name, part in (("q", slice(0, 300)), ("g", slice(200, None))):
        np.save(tmp_path / f"{name}.npy", X[part])
        np.save(tmp_path / f"{name}-labels.npy", y[part])
    gallery = ["--gallery", tmp_path / "g.npy", "--gallery-labels", tmp_path / "g-labels.npy"]
    for exclude in (False, True):
        expected = program_json(
            "score", tmp_path / "q.npy", "-l", tmp_path / "q-labels.npy", "--metrics", "retrieval", *gallery,
            *(["--exclude-identical"] if exclude else []),
        )
        result = embq.score(X[:300], y[:300], metrics="retrieval", gallery=(X[200:], y[200:]), exclude_identical=exclude)
        assert result.metrics == expected["metrics"]
        assert any("exclude_identical=True" in warning for warning in result.warnings) == (not exclude)


def test_precomputed_distances(digits, program_json, same_numbers, tmp_path):
    X, y = digits
    X, y = X[:300].astype(np.float64), y[:300]
    D = np.sqrt(np.maximum(((X[:, None] - X[None]) ** 2).sum(-1), 0))
    np.save(tmp_path / "d.npy", D)
    np.save(tmp_path / "l.npy", y)
    expected = program_json("score", tmp_path / "d.npy", "-l", tmp_path / "l.npy", "--distance", "precomputed")
    result = embq.score(D, y, metric="precomputed")
    same_numbers(result.to_dict(), expected)
    assert result.silhouette == pytest.approx(embq.score(X, y, metric="euclidean").silhouette, abs=1e-12)


def test_files_are_read_by_the_rules_of_the_program(root, program_json, same_numbers, tmp_path):
    folder = root / "fixtures" / "digits"
    expected = program_json("score", *FILES)
    same_numbers(embq.score(folder / "embeddings.npy", folder / "labels.npy").to_dict(), expected)
    same_numbers(embq.score(str(folder / "embeddings.npy"), np.load(folder / "labels.npy")).to_dict(), expected)
    same_numbers(embq.score(np.load(folder / "embeddings.npy"), str(folder / "labels.npy")).to_dict(), expected)


def test_a_column_of_the_file_itself(digits, tmp_path):
    polars = pytest.importorskip("polars")
    X, y = digits
    path = tmp_path / "emb.parquet"
    polars.DataFrame({"label": y, "embedding": polars.Series(X, dtype=polars.Array(polars.Float32, 64))}).write_parquet(path)
    assert embq.score(str(path), "label").metrics == embq.score(X, y).metrics


def test_distance_is_another_name_of_metric(digits):
    X, y = digits
    assert embq.score(X, y, distance="euclidean").metrics == embq.score(X, y, metric="euclidean").metrics
    assert embq.score(X, y, metric="cityblock").metrics == embq.score(X, y, metric="manhattan").metrics


def test_bits(program_json, same_numbers, tmp_path):
    rng = np.random.default_rng(0)
    bits = rng.random((200, 64)) < 0.5
    y = rng.integers(0, 3, 200)
    np.save(tmp_path / "b.npy", bits.astype(np.uint8))
    np.save(tmp_path / "l.npy", y)
    expected = program_json("score", tmp_path / "b.npy", "-l", tmp_path / "l.npy", "--distance", "hamming")
    same_numbers(embq.score(bits, y, metric="hamming").to_dict(), expected)
    packed = np.packbits(bits, axis=1)
    unpacked = embq.score(bits, y, metric="hamming")
    assert embq.score(packed, y, metric="hamming").silhouette == pytest.approx(unpacked.silhouette, abs=1e-6)


def test_dropped_rows(digits, program_json, same_numbers, tmp_path):
    X, y = digits
    X = X.copy()
    X[3, 5], X[10], X[11, 0] = np.nan, 0, np.inf
    np.save(tmp_path / "x.npy", X)
    labels = y.astype(str).astype(object)
    labels[20] = None
    lines = ["row,label", *(f"{row},{'' if label is None else f'c{label}'}" for row, label in enumerate(labels))]
    (tmp_path / "l.csv").write_text("\n".join(lines) + "\n")
    expected = program_json("score", tmp_path / "x.npy", "-l", f"{tmp_path}/l.csv:label", "--drop-invalid", "--drop-null-labels")
    labels = [None if label is None else f"c{label}" for label in labels]
    result = embq.score(X, labels, invalid="drop", missing="drop")
    same_numbers(result.to_dict(), expected)
    assert expected["excluded"] == result.to_dict()["excluded"]
    assert expected["excluded"]["invalid"] == 3 and expected["excluded"]["null_labels"] == 1
    assert {3, 10, 11, 20}.isdisjoint(result.rows["row"].tolist())


def test_any_number_of_threads_gives_the_same_bits(digits):
    X, y = digits
    texts = set()
    for n_jobs in (1, 2, 3, -1):
        result = embq.score(X, y, metrics="all", n_jobs=n_jobs).to_dict()
        result.pop("timing")
        texts.add(json.dumps(result))
    assert len(texts) == 1


def test_rows_are_those_of_the_program(digits, program, tmp_path):
    polars = pytest.importorskip("polars")
    X, y = digits
    path = tmp_path / "rows.parquet"
    assert program("score", *FILES, "--intervals", "--rows-out", path, "-q").returncode == 0
    expected = polars.read_parquet(path)
    found = embq.score(X, y, intervals=True).rows.to_polars()
    assert found.columns == expected.columns
    assert found.equals(expected)


def test_the_matrix_is_that_of_the_program(digits, program, tmp_path):
    X, y = digits
    path = tmp_path / "matrix.npy"
    assert program("score", *FILES, "--matrix-out", path, "-q").returncode == 0
    assert np.array_equal(embq.score(X, y, matrix=True).matrix, np.load(path))
    with pytest.raises(AttributeError, match="matrix=True"):
        embq.score(X, y).matrix


def test_random_states_of_numpy_are_seeds(digits):
    X, y = digits
    first = embq.score(X, y, subsample=300, random_state=np.random.RandomState(4))
    assert first.silhouette == embq.score(X, y, subsample=300, random_state=np.random.RandomState(4)).silhouette
    assert first.silhouette != embq.score(X, y, subsample=300, random_state=np.random.default_rng(5)).silhouette


def test_a_subsample_says_how_far_it_can_be_from_all_rows(digits):
    X, y = digits
    truth = embq.score(X, y)
    part = embq.score(X, y, subsample=400)
    assert truth.intervals == {}
    for name in ("silhouette", "soft_silhouette", "mean_a", "mean_b"):
        low, high = part.intervals[name]
        assert low <= truth[name] <= high and low < high


def test_as_many_rows_are_scored_as_an_interval_takes():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 20_000)
    X = np.eye(3, 8)[y] + 0.7 * rng.standard_normal((20_000, 8))
    truth = embq.score(X, y)
    part = embq.score(X, y, within=0.01)
    low, high = part.intervals["silhouette"]
    assert high - low <= 0.02 and low <= truth.silhouette <= high
    assert part.to_dict()["settings"]["within"] == 0.01
    assert part.to_dict()["settings"]["subsample"] < 10_000
    for wrong in ({"within": 0.01, "subsample": 100}, {"within": 0.0}, {"within": 0.01, "intervals": True}):
        with pytest.raises(ValueError, match="within"):
            embq.score(X, y, **wrong)


def test_the_protocol_of_mteb(digits):
    X, y = digits
    r = embq.score(X, y, metrics="clustering", clustering="mteb")
    assert 0.6 < r["v_measure"] < 0.8 and 0 < r["v_measure_std"] < 0.1
    with pytest.raises(ValueError, match="clustering"):
        embq.score(X, y, metrics="clustering", clustering="agglomerative")
