"""Runs scikit-learn's tests of its functions against those of embq, and compares both on its data sets."""

import types

import embq
import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn")
datasets = pytest.importorskip("sklearn.datasets")
metrics = pytest.importorskip("sklearn.metrics")
upstream = pytest.importorskip("sklearn.metrics.cluster.tests.test_unsupervised")

DROP_INS = ("silhouette_samples", "silhouette_score", "davies_bouldin_score", "calinski_harabasz_score")

SKIPPED = {"test_silhouette_reduce": "it is of a private function that embq has no counterpart of"}


def patched(test):
    """The same test with embq's functions: a copy, so that scikit-learn itself is not modified."""
    names = {**test.__globals__, **{name: getattr(embq, name) for name in DROP_INS}}
    for name, value in list(names.items()):
        if isinstance(value, types.FunctionType) and value.__module__ == upstream.__name__:
            names[name] = types.FunctionType(value.__code__, names, name, value.__defaults__, value.__closure__)
    copy = types.FunctionType(test.__code__, names, test.__name__, test.__defaults__, test.__closure__)
    copy.__dict__.update(test.__dict__)
    copy.__kwdefaults__ = test.__kwdefaults__
    return copy


for _name, _test in vars(upstream).items():
    if _name.startswith("test_") and _test.__module__ == upstream.__name__:
        _copy = patched(_test)
        if _name in SKIPPED:
            _copy = pytest.mark.skip(reason=SKIPPED[_name])(_copy)
        globals()[_name] = _copy


def sets():
    for name in ("iris", "wine", "breast_cancer", "digits"):
        yield name, *getattr(datasets, f"load_{name}")(return_X_y=True)
    yield "blobs", *datasets.make_blobs(500, 12, centers=7, random_state=0)


@pytest.mark.parametrize(("name", "X", "y"), list(sets()), ids=lambda value: value if isinstance(value, str) else "")
def test_the_same_numbers(name, X, y):
    for metric in ("euclidean", "cosine", "sqeuclidean", "manhattan", "cityblock", "l1", "l2"):
        ours = embq.silhouette_samples(X, y, metric=metric)
        assert np.allclose(ours, metrics.silhouette_samples(X, y, metric=metric), atol=1e-9, rtol=0), metric
    assert embq.silhouette_score(X, y) == pytest.approx(metrics.silhouette_score(X, y), abs=1e-9)
    sampled = metrics.silhouette_score(X, y, sample_size=100, random_state=3)
    assert embq.silhouette_score(X, y, sample_size=100, random_state=3) == pytest.approx(sampled, abs=1e-9)
    assert embq.davies_bouldin_score(X, y) == pytest.approx(metrics.davies_bouldin_score(X, y), rel=1e-9)
    assert embq.calinski_harabasz_score(X, y) == pytest.approx(metrics.calinski_harabasz_score(X, y), rel=1e-9)
    D = metrics.pairwise_distances(X)
    assert np.allclose(embq.silhouette_samples(D, y, metric="precomputed"), metrics.silhouette_samples(D, y, metric="precomputed"), atol=1e-9)


def test_classes_with_the_same_mean_are_passed_over():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(10, 3))
    X = np.vstack([half, half, half + 5])
    y = np.repeat([0, 1, 2], 10)
    assert embq.davies_bouldin_score(X, y) == pytest.approx(metrics.davies_bouldin_score(X, y), rel=1e-12)


def test_mistakes_raise_value_errors_in_both():
    X = np.random.default_rng(0).normal(size=(20, 3))
    for labels in (np.zeros(20), np.arange(20), np.arange(5) % 2):
        for name in DROP_INS:
            for package in (metrics, embq):
                with pytest.raises(ValueError):
                    getattr(package, name)(X, labels)


def test_it_works_as_a_scorer():
    from sklearn.cluster import KMeans
    from sklearn.model_selection import GridSearchCV

    X, _ = datasets.make_blobs(200, 3, centers=4, random_state=1)
    search = GridSearchCV(
        KMeans(n_init=2, random_state=0), {"n_clusters": [2, 4, 8]},
        scoring=lambda model, rows, _=None: embq.silhouette_score(rows, model.predict(rows)), n_jobs=2,
    )
    assert search.fit(X).best_params_ == {"n_clusters": 4}
