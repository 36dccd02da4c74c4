"""Similarity of two spaces from Python."""

import math

import embq
import numpy as np
import pytest


def test_a_space_is_similar_to_itself_and_to_its_rotation():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    rotation, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    found = embq.similarity(x, x @ rotation, metric="euclidean")
    assert list(found) == [
        "linear_cka",
        "debiased_cka",
        "procrustes",
        "linear_regression_r2",
        "neighbour_overlap@1",
        "neighbour_overlap@5",
        "neighbour_overlap@10",
    ]
    assert found["linear_cka"] == pytest.approx(1.0, abs=1e-6)
    assert found["procrustes"] == pytest.approx(0.0, abs=1e-3)
    assert found["neighbour_overlap@10"] == pytest.approx(1.0, abs=0.05)


def test_numbers_are_those_of_the_definition():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 6))
    centred = lambda z: z - z.mean(0)
    product = lambda a, b: np.sum((centred(a).T @ centred(b)) ** 2)
    found = embq.similarity(x, y)
    assert found["linear_cka"] == pytest.approx(product(x, y) / math.sqrt(product(x, x) * product(y, y)), abs=1e-12)
    design = np.column_stack([y, np.ones(len(y))])
    residual = x - design @ np.linalg.lstsq(design, x, rcond=None)[0]
    explained = 1 - np.sum(residual**2) / np.sum(centred(x) ** 2)
    assert found["linear_regression_r2"] == pytest.approx(explained, abs=1e-12)


def test_spaces_need_the_same_rows():
    with pytest.raises(embq.InputError, match="40 rows"):
        embq.similarity(np.ones((40, 2)) * np.arange(40)[:, None] + 1, np.ones((30, 2)))
    constant = embq.similarity(np.ones((40, 2)), np.random.default_rng(0).normal(size=(40, 2)))
    assert math.isnan(constant["linear_cka"])


def test_a_comparison_holds_the_similarity_of_every_pair():
    rng = np.random.default_rng(2)
    y = np.arange(40) % 2
    x = rng.normal(size=(40, 3)).astype(np.float32)
    spaces = [x, rng.normal(size=(40, 5)).astype(np.float32), 2 * x]
    found = embq.compare(spaces, y, names=["old", "new", "twice"], similarity=True)
    alone = embq.similarity(spaces[1], spaces[0])
    assert list(found.similarity) == list(alone)
    for name, matrix in found.similarity.items():
        assert matrix.shape == (3, 3)
        assert matrix[1, 0] == pytest.approx(alone[name], abs=1e-12)
    assert found.similarity["linear_cka"][0, 2] == pytest.approx(1.0, abs=1e-6)
    assert embq.compare(spaces, y).similarity == {}
    assert embq.read_json(found.to_json()).similarity.keys() == found.similarity.keys()
