"""Numbers that other packages test for, or compute."""

import embq
import numpy as np
import pytest


def test_accuracies_of_pytorch_metric_learning():
    """The inputs and numbers of its tests of AccuracyCalculator with references (test_calculate_accuracies.py)."""
    query = np.arange(10, dtype=np.float32)[:, None]
    labels = np.arange(10)
    names = ["precision_at_1", "r_precision", "map_at_r"]

    def found(rows, row_labels, references, reference_labels):
        result = embq.score(rows, row_labels, metric="euclidean", metrics=names, gallery=(references, reference_labels))
        return [result[name] for name in names]

    # The queries are the references.
    two = np.repeat(labels // 5, 1)
    assert found(query, two, query, two)[0] == 1
    # A query whose only neighbour has another class.
    query[-1] = 100
    reference = np.arange(10, dtype=np.float32)[:, None]
    reference[0] = -100
    query_labels = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    reference_labels = np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    precision, r_precision, map_at_r = found(query, query_labels, reference, reference_labels)
    assert precision == pytest.approx(0.9, abs=1e-15)
    assert r_precision == pytest.approx(0.9, abs=1e-15)
    assert map_at_r == pytest.approx(0.9, abs=1e-15)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_accuracy_calculator_itself(digits, metric):
    pytest.importorskip("pytorch_metric_learning")
    torch = pytest.importorskip("torch")
    from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    # Integers cause ties, which every package breaks differently.
    X, y = digits
    X = X.astype(np.float64) + np.random.default_rng(0).normal(scale=1e-3 * X.std(), size=X.shape)
    distance = CosineSimilarity() if metric == "cosine" else LpDistance(normalize_embeddings=False)
    calculator = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"), k="max_bin_count", knn_func=CustomKNN(distance)
    )
    theirs = calculator.get_accuracy(torch.from_numpy(X), torch.from_numpy(y.astype(np.int64)))
    ours = embq.score(X, y, metric=metric, metrics="retrieval")
    assert ours.precision_at_1 == pytest.approx(theirs["precision_at_1"], abs=1e-6)
    assert ours.r_precision == pytest.approx(theirs["r_precision"], abs=1e-6)
    assert ours.map_at_r == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-6)


def test_scib_metrics(digits):
    scib = pytest.importorskip("scib_metrics")
    X, y = digits
    X = X[:600].astype(np.float64)
    y = y[:600]
    batch = np.arange(600) % 3
    ours = embq.score(X, y, metric="euclidean", metrics=["asw_label", "asw_batch", "bras"], batch=batch)
    assert ours.asw_label == pytest.approx(scib.silhouette_label(X, y), abs=1e-5)
    assert ours.asw_batch == pytest.approx(scib.silhouette_batch(X, y, batch), abs=1e-5)
    cosine = embq.score(X, y, metrics="bras", batch=batch)
    assert cosine.bras == pytest.approx(scib.bras(X, y, batch), abs=1e-5)
