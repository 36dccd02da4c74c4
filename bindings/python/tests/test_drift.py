"""Drift between two sets from Python: the definitions by other software, the program's JSON, labels and statistics."""

import json
import pickle

import embq
import numpy as np
import pytest


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 6))
    y = rng.normal(size=(90, 6)) * 1.2 + 0.3
    return x, y


@pytest.fixture(scope="module")
def found(sets):
    return embq.drift(*sets)


def off_diagonal(kernel):
    return (kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1))


def unbiased(kernel, x, y):
    return off_diagonal(kernel(x, x)) + off_diagonal(kernel(y, y)) - 2 * kernel(x, y).mean()


def test_the_frechet_distance_is_scipys(sets, found):
    linalg = pytest.importorskip("scipy.linalg")
    (mu, sigma), (nu, tau) = [(rows.mean(0), np.cov(rows, rowvar=False)) for rows in sets]
    expected = (mu - nu) @ (mu - nu) + np.trace(sigma + tau - 2 * linalg.sqrtm(sigma @ tau).real)
    assert found.frechet_distance == pytest.approx(expected, rel=1e-9)
    low, high = found.intervals["frechet_distance"]
    assert low < expected < high


def test_kernels_and_distances_are_those_of_scikit_learn_and_scipy(sets, found):
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    distance = pytest.importorskip("scipy.spatial.distance")
    x, y = sets
    bandwidth = np.median(distance.pdist(np.concatenate(sets)))
    assert found.settings["bandwidth"] == pytest.approx(bandwidth, rel=1e-12)
    gaussian = lambda a, b: pairwise.rbf_kernel(a, b, gamma=1 / (2 * bandwidth**2))
    cubic = lambda a, b: pairwise.polynomial_kernel(a, b, degree=3, gamma=1 / 6, coef0=1)
    assert found.mmd_rbf == pytest.approx(unbiased(gaussian, x, y), rel=1e-9)
    assert found.kid == pytest.approx(unbiased(cubic, x, y), rel=1e-9)
    means = [distance.cdist(a, b).mean() for a, b in ((x, y), (x, x), (y, y))]
    assert found.energy_distance == pytest.approx(2 * means[0] - means[1] - means[2], rel=1e-9)


def test_manifolds_are_those_of_nearest_neighbours(sets, found):
    neighbors = pytest.importorskip("sklearn.neighbors")
    distance = pytest.importorskip("scipy.spatial.distance")
    x, y = sets
    radii = [neighbors.NearestNeighbors(n_neighbors=5).fit(rows).kneighbors()[0][:, -1] for rows in sets]
    across = distance.cdist(x, y)
    inside = across < radii[0][:, None]
    assert found.precision == inside.any(0).mean()
    assert found.recall == (across < radii[1]).any(1).mean()
    assert found.density == pytest.approx(inside.sum() / (5 * len(y)), rel=1e-12)
    assert found.coverage == inside.any(1).mean()


def test_the_domain_classifier_is_ridge_refitted_without_each_row(sets, found):
    linear_model = pytest.importorskip("sklearn.linear_model")
    metrics = pytest.importorskip("sklearn.metrics")
    rows, targets = np.concatenate(sets), np.repeat([-1.0, 1.0], [120, 90])
    kept = lambda left: np.arange(len(rows)) != left
    fit = lambda left: linear_model.Ridge(alpha=1.0).fit(rows[kept(left)], targets[kept(left)])
    scores = [fit(left).predict(rows[left : left + 1])[0] for left in range(len(rows))]
    assert found.domain_auc == pytest.approx(metrics.roc_auc_score(targets, scores), abs=1e-12)


def test_shifts_and_shares_follow_their_formulas(sets):
    x, y = sets
    before, after = ["a"] * 60 + ["b"] * 60, ["a"] * 60 + ["c"] * 30
    found = embq.drift(x, y, before, after)
    assert found.mean_shift == pytest.approx(np.linalg.norm(y.mean(0) - x.mean(0)) / np.sqrt(x.var(0, ddof=1).sum()), rel=1e-12)
    lengths = [np.linalg.norm(rows, axis=1).mean() for rows in sets]
    assert found.norm_shift == pytest.approx(lengths[1] / lengths[0] - 1, rel=1e-12)
    # A class without rows in one set counts as half a row there.
    p, q = np.array([60, 60, 0.5]) / 120, np.array([60, 0.5, 30]) / 90
    assert found.psi == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-12)
    classes = found.classes
    assert classes["label"].tolist() == ["a", "b", "c"]
    assert classes["current_count"].tolist() == [60, 0, 30]
    np.testing.assert_allclose(classes.psi, (q - p) * np.log(q / p), rtol=1e-12)
    assert np.isnan(classes.mean_shift[1:]).all()
    own = [x[:60], y[:60]]
    expected = np.linalg.norm(own[1].mean(0) - own[0].mean(0)) / np.sqrt(own[0].var(0, ddof=1).sum())
    assert classes.mean_shift[0] == pytest.approx(expected, rel=1e-9)
    assert classes.verdict.tolist() == ["drift", None, None]


def test_p_values_are_those_of_a_permutation_test(sets):
    distance = pytest.importorskip("scipy.spatial.distance")
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(30, 3)) + 0.3
    rows = np.concatenate([x, y])
    distances = distance.cdist(rows, rows)

    def energy(first):
        second = np.setdiff1d(np.arange(70), first)
        mean = lambda a, b: distances[np.ix_(a, b)].mean()
        return 2 * mean(first, second) - mean(first, first) - mean(second, second)

    actual = energy(np.arange(40))
    reached = sum(energy(rng.permutation(70)[:40]) >= actual for _ in range(4000))
    found = embq.drift(x, y, metrics="energy_distance", permutations=4000)
    test = found.tests["energy_distance"]
    assert test["p_value"] == pytest.approx((1 + reached) / 4001, abs=0.03)
    assert test["adjusted_p_value"] == test["p_value"] == found.p_value
    assert found.verdict == test["verdict"]
    # Two tests are corrected by Holm's method.
    both = embq.drift(x, y, permutations=200)
    p, adjusted = [[both.tests[name][key] for name in ("mmd_rbf", "energy_distance")] for key in ("p_value", "adjusted_p_value")]
    assert min(adjusted) == pytest.approx(min(1, 2 * min(p)))
    assert embq.drift(x, y, permutations=0).verdict is None


def test_nothing_drifts_between_halves_of_one_set(digits):
    X, _ = digits
    order = np.random.default_rng(2).permutation(len(X))
    halves = X[order[:900]], X[order[900:]]
    found = embq.drift(*halves)
    assert found.verdict == "no_drift_shown" and 0.45 < found.domain_auc < 0.55
    moved = embq.drift(halves[0], halves[1] + 0.2 * X.std(0))
    assert moved.verdict == "drift" and moved.mean_shift > 0.15


def test_the_json_is_that_of_the_program(tmp_path, program_json, digits):
    X, y = digits
    paths = [tmp_path / name for name in ("before.npy", "after.npy", "y_before.npy", "y_after.npy")]
    arrays = (X[::2], X[1::2] * np.float32(1.01), y[::2], y[1::2])
    for path, array in zip(paths, arrays):
        np.save(path, array)
    reference, current, before, after = map(str, paths)
    expected = program_json("drift", reference, current, "-l", before, "-l", after, "-k", "3", "--seed", "7", "--subset", "300")
    parameters = {"neighbours": 3, "random_state": 7, "subset": 300}
    of_files = embq.drift(reference, current, before, after, **parameters).to_dict()
    del of_files["timing"]
    assert of_files == expected
    of_arrays = embq.drift(*arrays, **parameters).to_dict()
    for key in expected.keys() - {"reference", "current"}:
        assert of_arrays[key] == expected[key], key
    for key in ("rows", "dimensions", "dtype"):
        assert of_arrays["current"][key] == expected["current"][key]


def test_statistics_stand_for_rows(tmp_path, sets, found):
    moments = [(rows.mean(0), np.cov(rows, rowvar=False)) for rows in sets]
    stored = tmp_path / "reference.npz"
    np.savez(stored, mu=moments[0][0], sigma=moments[0][1])
    for reference in (str(stored), stored, moments[0]):
        for current in (moments[1], sets[1]):
            of_statistics = embq.drift(reference, current)
            assert of_statistics.frechet_distance == pytest.approx(found.frechet_distance, rel=1e-9)
            assert of_statistics.kid is None
            assert any("kid is undefined" in warning for warning in of_statistics.warnings)
    with pytest.raises(embq.InputError, match="statistics, which have no labels"):
        embq.drift(stored, sets[1], [0] * 120, [0] * 90)
    with pytest.raises(embq.InputError, match="mu has 6 values and sigma is 5 x 5"):
        embq.drift((moments[0][0], moments[0][1][:5, :5]), sets[1])


def test_a_result_is_read_copied_and_drawn(tmp_path, sets, found):
    assert "frechet_distance" in repr(found) and "drift: the sets differ" in repr(found)
    assert found["kid"] == found.kid and "kid" in found and "kid" in dir(found)
    with pytest.raises(AttributeError, match="did you mean 'recall'"):
        found.recal
    again = embq.read_json(found.to_json(tmp_path / "drift.json"))
    assert isinstance(again, embq.Drift) and again.to_dict() == found.to_dict()
    assert embq.read_json(tmp_path / "drift.json").verdict == found.verdict
    assert pickle.loads(pickle.dumps(found)).to_dict() == found.to_dict()
    assert json.loads(found.to_json())["kind"] == "drift"
    page = found.to_html(tmp_path / "page.html", *sets)
    assert page.startswith("<!DOCTYPE html>") and 'id="projection"' in page
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    assert 'id="projection"' not in again.to_html()


def test_what_cannot_be_compared_is_refused(sets):
    x, y = sets
    with pytest.raises(embq.InputError, match="6 dimensions and current has 5"):
        embq.drift(x, y[:, :5])
    with pytest.raises(embq.InputError, match="labels are given for one set only"):
        embq.drift(x, y, [0] * 120)
    with pytest.raises(embq.InputError, match="ignore_label needs labels"):
        embq.drift(x, y, ignore_label="a")
    with pytest.raises(embq.InputError, match="did you mean 'kid'"):
        embq.drift(x, y, metrics="kidd")
    with pytest.raises(embq.InputError, match="psi needs the labels of both sets"):
        embq.drift(x, y, metrics="psi")
    with pytest.raises(embq.InputError, match="did you mean 'frechet_distance'"):
        embq.drift(x, y, metrics="fid")
    with pytest.raises(embq.InputError, match="subset is 1"):
        embq.drift(x, y, subset=1)
    broken = y.copy()
    broken[3, 2] = np.nan
    with pytest.raises(embq.InputError, match='invalid="drop"'):
        embq.drift(x, broken)
    assert embq.drift(x, broken, invalid="drop").to_dict()["current"]["rows"] == 89
