"""Errors are ValueErrors that say what is wrong, where, and what to do about it in Python."""

import embq
import numpy as np
import pytest

X = np.random.default_rng(0).normal(size=(20, 3))
Y = np.repeat([0, 1], 10)


def changed(row, column, value):
    array = X.copy()
    array[row, column] = value
    return array


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: embq.score(changed(3, 1, np.nan), Y), r'X: NaN in row 3, column 1; 1 row.*\n  tip: .* invalid="drop"$'),
        (lambda: embq.score(np.vstack([X[:19], np.zeros((1, 3))]), Y), r'X: row 19 is a zero vector.*\n  tip: .*invalid="drop", or use metric="euclidean"'),
        (lambda: embq.score(X, np.zeros(20)), "y: a silhouette needs at least 2 classes, found 1 in 20 rows\n  tip: .*ignore_label leaves out"),
        (lambda: embq.score(X, np.arange(20)), "y: 20 classes in 20 rows"),
        (lambda: embq.score(X, Y[:5]), "row counts differ: X has 20 rows, y has 5\n  tip: every row"),
        (lambda: embq.score(X[0], Y), r"X: expected a matrix of rows x dimensions, found shape \(3,\)\n  tip: X.reshape"),
        (lambda: embq.score(X[None], Y), r"found shape \(1, 20, 3\)\n  tip: .*X.mean\(axis=1\)"),
        (lambda: embq.score(X[:, :0], Y), "X: expected at least one dimension"),
        (lambda: embq.score(X + 1j, Y), "X: complex128 cannot be used as embeddings"),
        (lambda: embq.score([["a", "b"], ["c", "d"]], [0, 1]), "X: <U1 cannot be used as embeddings"),
        (lambda: embq.score([[1.0, 2.0], [3.0]], [0, 1]), "X: (rows of different lengths|row 1 has 1 values)"),
        (lambda: embq.score(X, Y, metric="cosin"), "unknown distance 'cosin'\n  tip: did you mean 'cosine'"),
        (lambda: embq.score(X, Y, metric=lambda a, b: 0), 'metric="precomputed"'),
        (lambda: embq.score(X, Y, metrics="silhuette"), "unknown metric 'silhuette'\n  tip: did you mean 'silhouette'"),
        (lambda: embq.score(X, Y, metrics="bras"), "metrics: bras needs the batch of each row\n  tip: add batch="),
        (lambda: embq.score(X, Y, metrics="knn_accuracy@7"), "knn_accuracy@7 is not among k"),
        (lambda: embq.score(X, Y, k=0), "k: the number of neighbours is 0"),
        (lambda: embq.score(X, Y, sample=5), "sample: nothing that is computed uses it"),
        (lambda: embq.score(X, Y, batch=Y), "batch: nothing that is computed uses it"),
        (lambda: embq.score(X, Y, gallery=X, metrics="retrieval"), r"gallery=\(X_gallery, y_gallery\)"),
        (lambda: embq.score(X, Y, gallery=(X, Y)), "gallery: nothing that is computed uses it"),
        (lambda: embq.score(X, Y, temperature=0), "temperature is 0.*\n.*1e-6 to 1e6"),
        (lambda: embq.score(X, Y, temperature="warm"), "temperature: unknown value 'warm'"),
        (lambda: embq.score(X, Y, softmin="soft"), "softmin: unknown value 'soft'"),
        (lambda: embq.score(X, Y, precision="f16"), "precision: unknown value 'f16'"),
        (lambda: embq.score(X, Y, invalid="ignore"), 'invalid: unknown value \'ignore\'\n.*invalid="drop"'),
        (lambda: embq.score(X, Y, exclude="7"), "no row of y has the label '7'\n  tip: "),
        (lambda: embq.score(X, Y, subsample=1), "a subsample of 1 is less than a row for each of the 2 classes"),
        (lambda: embq.score(X, Y, intervals=True, subsample=10), "leave out subsample or intervals=True"),
        (lambda: embq.score(X, Y, sample_weight=np.zeros(20)), "sample_weight: weight 0 in row 0"),
        (lambda: embq.score(X, Y, sample_weight=np.ones(3)), "row counts differ: X has 20 rows, sample_weight has 3"),
        (lambda: embq.score(X, Y, sample_weight=np.ones((20, 1))), "one weight per row"),
        (lambda: embq.score(X, Y, metric="precomputed"), "not a distance matrix"),
        (lambda: embq.score("nowhere.npy", "label"), "nowhere.npy: no such file"),
        (lambda: embq.score(X, Y, n_jobs=0), "n_jobs"),
        (lambda: embq.compare([X], Y), r"embq.compare\(\[X0, X1\], y\)"),
        (lambda: embq.compare([X, X], Y, names=["a", "a"]), "one name twice"),
        (lambda: embq.suspects(X, Y, neighbours=0), "neighbours is 0"),
        (lambda: embq.suspects(X, Y, ids=["a"]), "row counts differ: y has 20 rows, ids has 1"),
        (lambda: embq.silhouette_loss(X, Y, metric="manhattan"), "no gradient for manhattan distance"),
        (lambda: embq.read_json("{}"), "not a result of embq"),
        (lambda: embq.read_json('{"kind": "score"}'), "not a result of embq: missing field"),
        (lambda: embq.silhouette_samples(X, Y, p=3), "no parameter 'p'"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ValueError, match=message) as raised:
        call()
    assert "--" not in str(raised.value), "an option of the command line in a message for Python"


def test_the_class_of_errors():
    assert issubclass(embq.InputError, ValueError)
    assert embq.InputError.__module__ == "embq"
    with pytest.raises(embq.InputError):
        embq.score(X, Y[:3])


def test_a_zero_vector_is_no_error_for_other_distances():
    assert embq.score(np.vstack([X[:19], np.zeros((1, 3))]), Y, metric="euclidean").silhouette is not None


def test_warnings_are_told_in_pythons_words():
    y = np.where(Y == 0, "a", "nan").astype(object)
    assert any('ignore_label="nan"' in warning for warning in embq.score(X, y.tolist()).warnings)


def test_broken_memory_is_not_a_crash():
    """Arrays without rows, columns or values are refused."""
    for array in (np.empty((0, 3)), np.empty((0, 0)), np.empty((5, 0), dtype=np.float32)):
        with pytest.raises(embq.InputError):
            embq.score(array, np.zeros(len(array)))
