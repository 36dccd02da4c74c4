"""embq.torch against `embq grad`, against a naive implementation with all pairs, and in degenerate training states."""

import copy
import doctest
import json
import math
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed, so embq.torch is NOT tested")

from embq.torch import HybridLoss, SoftSilhouetteLoss, SupervisedContrastiveLoss  # noqa: E402

DISTANCES = ["cosine", "sqeuclidean", "euclidean"]
SOFTMINS = ["weighted", "lse", "hard", "mean"]
SOFTMAXES = ["lse", "hard"]
# A temperature in the middle of each distance's range, for normally distributed rows.
TEMPERATURES = {"cosine": 0.1, "sqeuclidean": 3.0, "euclidean": 1.0}

forms = [
    pytest.param({"distance": distance, "softmin": softmin, "softmax": softmax}, id=f"{distance}-{softmin}-{softmax}")
    for distance in DISTANCES
    for softmin in SOFTMINS
    for softmax in SOFTMAXES
]
every_form = pytest.mark.parametrize("form", forms)
every_distance = pytest.mark.parametrize("distance", DISTANCES)


def made(n=60, d=7, classes=5, seed=0, dtype=torch.float64):
    """Rows around class means, with one class of a single row and others of different sizes."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes - 1, n)
    labels[n // 2] = classes - 1
    rows = random.normal(size=(classes, d))[labels] + random.normal(size=(n, d))
    return torch.tensor(rows, dtype=dtype), torch.tensor(labels)


def written_out(x, y, tau, distance="cosine", **form):
    """1 - s_i from all pairs."""
    if distance == "cosine":
        z = x / x.norm(dim=1, keepdim=True)
        pairs = 1 - z @ z.T
    else:
        pairs = ((x[:, None] - x[None]) ** 2).sum(-1)
        if distance == "euclidean":
            eye = torch.eye(len(x), dtype=x.dtype)
            pairs = (pairs + eye).sqrt() * (1 - eye)
    return of_pairs(pairs, y, tau, **form)


def of_pairs(pairs, y, tau, softmin="weighted", softmax="lse"):
    """1 - s_i row by row."""
    losses = []
    for i in range(len(y)):
        own = (y == y[i]) & (torch.arange(len(y)) != i)
        if not own.any() or (y == y[i]).all():
            losses.append(torch.ones((), dtype=pairs.dtype))
            continue
        a = pairs[i][own].mean()
        others = torch.stack([pairs[i][y == c].mean() for c in y.unique() if c != y[i]])
        if softmin == "weighted":
            b = (torch.softmax(-others / tau, 0) * others).sum()
        elif softmin == "lse":
            b = -tau * (torch.logsumexp(-others / tau, 0) - math.log(len(others)))
        else:
            b = others.min() if softmin == "hard" else others.mean()
        both = torch.stack([a, b])
        m = tau * torch.logsumexp(both / tau, 0) if softmax == "lse" else both.max()
        losses.append(1 - (b - a) / m)
    return torch.stack(losses)


def step(loss, x, y, *rest):
    x = x.detach().clone().requires_grad_()
    value = loss(x, y, *rest)
    value.sum().backward()
    return value.detach(), x.grad


def error(found, expected):
    """The largest error, relative to the largest number."""
    return float((found.double() - expected.double()).abs().max() / expected.double().abs().max())


# Comparison with the program


def program():
    """The program: EMBQ, the one on PATH, or the one built in this clone."""
    root = Path(__file__).resolve().parents[3]
    beside = Path(sys.executable).with_name("embq")
    for candidate in [os.environ.get("EMBQ"), beside, shutil.which("embq"), *sorted(root.glob("target/*/embq"))]:
        if candidate and Path(candidate).is_file():
            return str(candidate)
    pytest.skip("SKIPPED LOUDLY: no embq program (set EMBQ), so the losses are NOT compared with embq grad")


def grad(folder, x, y, *options):
    """Value and gradient from `embq grad`."""
    np.save(folder / "x.npy", x.numpy())
    np.save(folder / "y.npy", y.numpy())
    command = [program(), "grad", folder / "x.npy", "-l", folder / "y.npy", "-g", folder / "g.npy"]
    done = subprocess.run(
        [*map(str, command), *options, "-o", str(folder / "r.json"), "-q"], check=False, capture_output=True, text=True
    )
    if done.returncode == 2 and "invalid value" in done.stderr:
        pytest.skip(f"SKIPPED LOUDLY: this embq does not know {' '.join(options)}")
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "r.json").read_text()), torch.tensor(np.load(folder / "g.npy"))


def silhouette_options(form, tau):
    return [part for name, value in {**form, "temperature": tau}.items() for part in (f"--{name}", str(value))]


@every_form
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_values_and_gradients_are_those_of_embq_grad(tmp_path, form, dtype):
    x, y = made(n=200, d=16, classes=9, seed=1, dtype=dtype)
    for factor in (0.1, 1.0, 30.0):
        tau = factor * TEMPERATURES[form["distance"]]
        value, gradient = step(SoftSilhouetteLoss(tau, **form), x, y)
        # Of float32 rows too: two gradients in float32 are further apart than either is from what is right.
        result, expected = grad(tmp_path, x.double(), y, *silhouette_options(form, tau))
        assert abs(value.item() - result["loss"]) < (1e-12 if dtype == torch.float64 else 1e-6)
        assert error(gradient, expected) < (1e-11 if dtype == torch.float64 else 2e-6), factor


@every_form
def test_collapsed_classes_are_near_embq_grad_in_float32(tmp_path, form):
    # Rows 1e-4 from their class mean.
    random = np.random.default_rng(2)
    labels = torch.tensor(random.integers(0, 6, 120))
    rows = torch.tensor(random.normal(size=(6, 12))[labels] + 1e-4 * random.normal(size=(120, 12)))
    rows = rows.float()
    tau = TEMPERATURES[form["distance"]]
    value, gradient = step(SoftSilhouetteLoss(tau, **form), rows, labels)
    result, expected = grad(tmp_path, rows, labels, *silhouette_options(form, tau))
    assert abs(value.item() - result["loss"]) < 1e-5
    assert error(gradient, expected) < 1e-2


def test_supervised_contrastive_loss_is_that_of_embq_grad(tmp_path):
    for dtype in (torch.float64, torch.float32):
        x, y = made(n=150, d=16, classes=7, seed=3, dtype=dtype)
        for t in (0.07, 1.0):
            value, gradient = step(SupervisedContrastiveLoss(t), x, y)
            result, expected = grad(tmp_path, x, y, "--loss", "supcon", "--supcon-temperature", str(t))
            assert abs(value.item() - result["loss"]) < (1e-12 if dtype == torch.float64 else 2e-6)
            assert error(gradient, expected) < (1e-11 if dtype == torch.float64 else 2e-6)


def test_the_hybrid_is_that_of_embq_grad(tmp_path):
    x, y = made(n=90, d=6, classes=4, seed=4)
    head = torch.tensor(np.random.default_rng(5).normal(size=(4, 6)))
    np.save(tmp_path / "head.npy", head.numpy())
    loss = HybridLoss(cross_entropy=0.7, silhouette=2, supcon=0.5, temperature=0.2, supcon_temperature=0.3)
    leaf = x.clone().requires_grad_()
    value = loss(leaf, y, leaf @ head.T)
    value.backward()
    mix = "silhouette=2,cross-entropy=0.7,supcon=0.5"
    options = [
        "--mix",
        mix,
        "--temperature",
        "0.2",
        "--supcon-temperature",
        "0.3",
        "--head",
        str(tmp_path / "head.npy"),
    ]
    result, expected = grad(tmp_path, x, y, "--loss", "hybrid", *options)
    assert abs(value.item() - result["loss"]) < 1e-12
    assert error(leaf.grad, expected) < 1e-11


# Comparison with all pairs


@every_form
def test_every_form_is_what_all_pairs_give(form):
    x, y = made()
    tau = 0.3 * TEMPERATURES[form["distance"]]
    value, gradient = step(SoftSilhouetteLoss(tau, reduction="none", **form), x, y)
    expected, expected_gradient = step(lambda x, y: written_out(x, y, tau, **form), x, y)
    assert torch.allclose(value, expected, rtol=0, atol=1e-13)
    assert error(gradient, expected_gradient) < 1e-11


def test_a_hand_worked_set():
    # Rows 0, 1 | 3 with Euclidean distance: s = 1 - 1/3, 1 - 1/2, and 0 for the row that is alone.
    x, y = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64), torch.tensor([7, 7, -2])
    loss = SoftSilhouetteLoss(0.1, distance="euclidean", softmax="hard", reduction="none")
    value, gradient = step(loss, x, y)
    assert value.tolist() == pytest.approx([1 / 3, 1 / 2, 1.0], abs=1e-15)
    # Derivatives of d01/d02 + d01/d12 for x0 < x1 < x2.
    assert gradient[:, 0].tolist() == pytest.approx([-1 / 3 + 1 / 9 - 1 / 2, 1 / 3 + 1 / 2 + 1 / 4, -1 / 9 - 1 / 4])


def test_reductions():
    x, y = made()
    rows = SoftSilhouetteLoss(reduction="none")(x, y)
    assert rows.shape == (60,)
    assert torch.isclose(SoftSilhouetteLoss()(x, y), rows.mean(), rtol=1e-14)
    assert torch.isclose(SoftSilhouetteLoss(reduction="sum")(x, y), rows.sum(), rtol=1e-14)
    # SupCon's mean is over rows with a positive: all but the one that is alone.
    rows = SupervisedContrastiveLoss(reduction="none")(x, y)
    assert rows.shape == (60,) and (rows == 0).sum() == 1
    assert torch.isclose(SupervisedContrastiveLoss()(x, y), rows.sum() / 59, rtol=1e-14)


def test_supervised_contrastive_loss_is_that_of_pytorch_metric_learning():
    losses = pytest.importorskip(
        "pytorch_metric_learning.losses",
        reason="pytorch-metric-learning is not installed: SupCon is NOT compared with it",
    )
    x, y = made()
    value, gradient = step(SupervisedContrastiveLoss(0.2), x, y)
    expected, expected_gradient = step(losses.SupConLoss(temperature=0.2), x, y)
    assert torch.isclose(value, expected, rtol=1e-12)
    assert error(gradient, expected_gradient) < 1e-11


# Derivatives


@every_form
def test_first_and_second_derivatives_are_those_of_differences(form):
    x, y = made(n=11, d=3, classes=4, seed=6)
    x.requires_grad_()
    # These rows are not near the kinks of min and max.
    loss = SoftSilhouetteLoss(TEMPERATURES[form["distance"]], **form)
    assert torch.autograd.gradcheck(lambda x: loss(x, y), x)
    assert torch.autograd.gradgradcheck(lambda x: loss(x, y), x)


def test_derivatives_of_the_other_losses():
    x, y = made(n=9, d=3, classes=3, seed=7)
    x.requires_grad_()
    head = torch.tensor(np.random.default_rng(8).normal(size=(3, 3)), requires_grad=True)
    hybrid = HybridLoss(num_classes=3)
    for loss in (lambda x, w: SupervisedContrastiveLoss(0.5)(x, y), lambda x, w: hybrid(x, y, x @ w.T)):
        assert torch.autograd.gradcheck(loss, (x, head))
    assert torch.autograd.gradgradcheck(lambda x, w: hybrid(x, y, x @ w.T), (x, head))


# Degenerate training states


def assert_constant(loss, x, y, expected=1.0):
    value, gradient = step(loss, x, y)
    assert torch.all(value == expected)
    assert torch.all(gradient == 0)


@every_form
def test_one_class_in_the_batch(form):
    for dtype in (torch.float32, torch.float64):
        x, _ = made(n=8, dtype=dtype)
        y = torch.full((8,), 2)
        assert_constant(SoftSilhouetteLoss(**form), x, y)
        assert_constant(SoftSilhouetteLoss(num_classes=5, **form), x, y)


@every_form
def test_a_batch_of_singletons(form):
    x, _ = made(n=8, dtype=torch.float32)
    assert_constant(SoftSilhouetteLoss(**form), x, torch.arange(8))
    assert_constant(SoftSilhouetteLoss(num_classes=10, reduction="none", **form), x, torch.arange(8))
    assert_constant(SoftSilhouetteLoss(**form), x[:1], torch.zeros(1, dtype=torch.long))


@every_form
def test_classes_that_are_missing_change_nothing(form):
    x, y = made()
    loss = SoftSilhouetteLoss(TEMPERATURES[form["distance"]], **form)
    value, gradient = step(loss, x, y)
    loss.num_classes = 100
    spread = torch.tensor([3, 17, 40, 41, 99])[y]
    found, found_gradient = step(loss, x, spread)
    assert torch.isclose(found, value, rtol=1e-14)
    assert error(found_gradient, gradient) < 1e-14


@every_form
def test_rows_alone_in_their_class_still_compete(form):
    x, y = made(n=20, classes=4)
    y = torch.where(torch.arange(20) < 3, torch.arange(20) + 10, y)
    tau = TEMPERATURES[form["distance"]]
    value, gradient = step(SoftSilhouetteLoss(tau, reduction="none", **form), x, y)
    expected, expected_gradient = step(lambda x, y: written_out(x, y, tau, **form), x, y)
    assert torch.all(value[:3] == 1)
    assert torch.allclose(value, expected, rtol=0, atol=1e-13)
    assert error(gradient, expected_gradient) < 1e-11
    assert torch.all(gradient[:3].abs().sum(1) > 0) or form["softmin"] == "hard"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("zeros", [[4], [0, 4, 9], list(range(20))])
def test_zero_rows(dtype, zeros):
    x, y = made(n=20, classes=3, dtype=dtype)
    x[zeros] = 0
    value, gradient = step(SoftSilhouetteLoss(), x, y)
    assert torch.all(gradient[zeros] == 0)
    assert gradient.isfinite().all()
    # Zero rows are at distance 1 from all others.
    others = torch.tensor([row for row in range(20) if row not in zeros], dtype=torch.long)
    leaf = x[others].double().requires_grad_()
    z = torch.zeros(20, 7, dtype=torch.float64).index_copy(0, others, leaf / leaf.norm(dim=1, keepdim=True))
    expected = of_pairs(1 - z @ z.T, y, 0.1).mean()
    assert abs(value.item() - expected.item()) < (1e-13 if dtype == torch.float64 else 1e-6)
    if len(others):
        expected.backward()
        assert error(gradient[others], leaf.grad) < (1e-12 if dtype == torch.float64 else 1e-6)
    # Also SupCon, and second derivatives.
    _, gradient = step(SupervisedContrastiveLoss(), x, y)
    assert gradient.isfinite().all() and torch.all(gradient[zeros] == 0)
    leaf = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(SoftSilhouetteLoss()(leaf, y), leaf, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), leaf)
    assert second.isfinite().all()


@pytest.mark.parametrize("scale", [1e25, 1e-25])
def test_the_size_of_rows_is_no_matter_under_cosine(scale):
    x, y = made(dtype=torch.float32)
    x64 = x.double()
    for loss in (SoftSilhouetteLoss(), SupervisedContrastiveLoss()):
        value, gradient = step(loss, x64, y)
        found, found_gradient = step(loss, x * scale, y)
        assert abs(found.item() - value.item()) < 1e-6
        assert error(found_gradient.double() * scale, gradient) < 1e-5
        # Rows of both sizes in one batch.
        sizes = torch.where(torch.arange(len(x)) % 2 == 0, scale, 1.0)[:, None].float()
        found, found_gradient = step(loss, x * sizes, y)
        assert abs(found.item() - value.item()) < 1e-6
        assert error(found_gradient.double() * sizes.double(), gradient) < 1e-5


@pytest.mark.parametrize("scale", [1e25, 1e-25])
@pytest.mark.parametrize("distance", ["sqeuclidean", "euclidean"])
@pytest.mark.parametrize("softmax", SOFTMAXES)
def test_sizes_whose_squares_overflow(distance, scale, softmax):
    x, y = made(dtype=torch.float32)
    rows = x * scale
    power = 2 if distance == "sqeuclidean" else 1
    # Scaling the temperature as well changes nothing; with the original one, the result is as in float64.
    for tau in (TEMPERATURES[distance] * scale**power, TEMPERATURES[distance]):
        loss = SoftSilhouetteLoss(tau, distance=distance, softmax=softmax)
        value, gradient = step(loss, rows.double(), y)
        found, found_gradient = step(loss, rows, y)
        assert abs(found.item() - value.item()) < 1e-6
        assert error(found_gradient.double() * scale, gradient * scale) < 1e-5


@every_form
@pytest.mark.parametrize("tau", [1e-300, 1e-30, 1e-10, 1e10, 1e30, 1e300])
def test_no_temperature_overflows(form, tau):
    for dtype in (torch.float32, torch.float64):
        x, y = made(dtype=dtype)
        value, gradient = step(SoftSilhouetteLoss(tau, **form), x, y)
        assert value.isfinite() and 0 <= value <= 2
        assert gradient.isfinite().all()
        if tau < 1:
            hard = {**form, "softmax": "hard", "softmin": "mean" if form["softmin"] == "mean" else "hard"}
            expected = SoftSilhouetteLoss(1.0, **hard)(x, y)
            assert abs(value - expected) < (1e-6 if dtype == torch.float32 else 1e-9)


@every_form
def test_classes_that_are_points(form):
    _, y = made(dtype=torch.float32)
    points = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0]])[y]
    loss = SoftSilhouetteLoss(0.01, **form)
    value, gradient = step(loss, points, y)
    # a = 0 and b is the nearest or mean distance; only the row that is alone has a loss of 1.
    assert value.item() == pytest.approx(1 / 60, abs=2e-3)
    assert gradient.isfinite().all()
    # All rows coincide: a = b = 0.
    value, gradient = step(loss, torch.ones_like(points), y)
    assert value.item() == pytest.approx(1, abs=1e-4)
    assert gradient.isfinite().all()


@every_distance
def test_far_from_the_origin(distance):
    x, y = made(dtype=torch.float32)
    x = x + (10 if distance == "cosine" else 1000)
    loss = SoftSilhouetteLoss(0.001 if distance == "cosine" else TEMPERATURES[distance], distance=distance)
    value, gradient = step(loss, x.double(), y)
    found, found_gradient = step(loss, x, y)
    assert abs(found.item() - value.item()) < (1e-3 if distance == "cosine" else 1e-6)
    assert error(found_gradient, gradient) < (1e-3 if distance == "cosine" else 1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    x, y = made(dtype=dtype)
    for loss in (SoftSilhouetteLoss(), SupervisedContrastiveLoss(), HybridLoss(cross_entropy=0)):
        value, gradient = step(loss, x, y)
        expected, expected_gradient = step(loss, x.float(), y)
        assert value.dtype == torch.float32 and gradient.dtype == dtype
        assert value == expected
        assert torch.equal(gradient, expected_gradient.to(dtype))


def test_autocast():
    x, y = made(dtype=torch.float32)
    torch.manual_seed(0)
    encoder, head = torch.nn.Linear(7, 6), torch.nn.Linear(6, 5)
    loss = HybridLoss(num_classes=5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embeddings = encoder(x)
        logits = head(embeddings)
        assert embeddings.dtype == torch.bfloat16
        value = loss(embeddings, y, logits)
    assert value.dtype == torch.float32
    assert value == loss(embeddings.float(), y, logits.float())
    # float32 embeddings stay float32 inside autocast; bfloat16 products would be wrong in the third digit.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert SoftSilhouetteLoss()(x, y) == SoftSilhouetteLoss()(x, y)
        inside = SoftSilhouetteLoss()(x, y)
    assert inside == SoftSilhouetteLoss()(x, y)
    value.backward()
    assert encoder.weight.grad.isfinite().all()


def test_values_that_are_not_numbers_show():
    x, y = made()
    for wrong in (math.nan, math.inf):
        x[3, 2] = wrong
        for distance in DISTANCES:
            assert SoftSilhouetteLoss(distance=distance)(x, y).isnan()


def test_labels_of_any_integer_type():
    x, y = made()
    expected = SoftSilhouetteLoss()(x, y)
    for dtype in (torch.int8, torch.uint8, torch.int16, torch.int32):
        assert SoftSilhouetteLoss()(x, y.to(dtype)) == expected
        assert SoftSilhouetteLoss(num_classes=5)(x, y.to(dtype)) == expected
        assert torch.isfinite(HybridLoss()(x, y.to(dtype), x[:, :5]))
    assert SoftSilhouetteLoss()(x, y > 1) == SoftSilhouetteLoss()(x, (y > 1).long())
    assert SoftSilhouetteLoss()(x, 1000 * y - 7) == expected


# Compilation


@every_form
def test_compiled_without_a_graph_break(form):
    x, y = made(dtype=torch.float32)
    loss = SoftSilhouetteLoss(TEMPERATURES[form["distance"]], num_classes=5, **form)
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(loss), fullgraph=True, backend="aot_eager")
    value, gradient = step(loss, x, y)
    found, found_gradient = step(compiled, x, y)
    assert torch.isclose(found, value, rtol=1e-6)
    assert error(found_gradient, gradient) < 1e-5


def test_the_hybrid_is_compiled_without_a_graph_break_and_under_autocast():
    x, y = made(dtype=torch.float32)
    loss = HybridLoss(num_classes=5)
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(loss), fullgraph=True, backend="aot_eager")
    logits = x[:, :5].bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.isclose(compiled(x, y, logits), loss(x, y, logits), rtol=1e-6)


@pytest.mark.skipif(
    not any(map(shutil.which, ["c++", "g++", "clang++"])),
    reason="SKIPPED LOUDLY: there is no C++ compiler, so torch.compile is NOT tested with its own backend",
)
def test_compiled_to_code():
    x, y = made(dtype=torch.float32)
    loss = SoftSilhouetteLoss(num_classes=5)
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(loss), fullgraph=True)
    value, gradient = step(loss, x, y)
    found, found_gradient = step(compiled, x, y)
    assert torch.isclose(found, value, rtol=1e-6)
    assert error(found_gradient, gradient) < 1e-5


# Usage


def test_training_brings_the_loss_down():
    x, y = made(n=80, d=7, classes=4, dtype=torch.float32)
    torch.manual_seed(0)
    encoder = torch.nn.Sequential(torch.nn.Linear(7, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.01)
    loss = SoftSilhouetteLoss(num_classes=4)
    before = loss(encoder(x), y).item()
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(encoder(x), y)
        value.backward()
        optimizer.step()
    assert value.item() < 0.4 < before


def test_the_same_bits_again_and_no_warning():
    x, y = made(dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = step(SoftSilhouetteLoss(num_classes=5), x, y)
        second = step(SoftSilhouetteLoss(num_classes=5), x, y)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_modules_say_what_they_are():
    assert repr(SoftSilhouetteLoss(0.2, num_classes=3)) == (
        "SoftSilhouetteLoss(temperature=0.2, num_classes=3, distance='cosine', softmin='weighted', softmax='lse', "
        "reduction='mean', gather=False)"
    )
    assert "supcon=0.5" in repr(HybridLoss(supcon=0.5))
    assert "temperature=0.3" in repr(SupervisedContrastiveLoss(0.3))


def test_terms_of_the_hybrid():
    x, y = made()
    hybrid = HybridLoss(2, 3, 0.5, temperature=0.2, supcon_temperature=0.3, label_smoothing=0.1)
    terms = hybrid.terms(x, y, x[:, :5])
    cross_entropy = torch.nn.functional.cross_entropy(x[:, :5], y, label_smoothing=0.1)
    assert torch.equal(terms["cross_entropy"], cross_entropy)
    assert torch.equal(terms["silhouette"], SoftSilhouetteLoss(0.2)(x, y))
    assert torch.equal(terms["supcon"], SupervisedContrastiveLoss(0.3)(x, y))
    expected = 2 * terms["cross_entropy"] + 3 * terms["silhouette"] + 0.5 * terms["supcon"]
    assert torch.isclose(hybrid(x, y, x[:, :5]), expected, rtol=1e-14)
    assert set(HybridLoss(0, 1, 0).terms(x, y)) == {"silhouette"}
    assert torch.equal(HybridLoss(0, 1, 0)(x, y), SoftSilhouetteLoss()(x, y))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"temperature": 0}, "temperature must be a positive number, not 0"),
        ({"temperature": math.nan}, "temperature must be a positive number"),
        ({"temperature": "auto"}, "temperature must be a positive number, not 'auto'"),
        ({"distance": "manhattan"}, "distance must be one of 'cosine', 'sqeuclidean', 'euclidean', not 'manhattan'"),
        ({"softmin": "soft"}, "softmin must be one of 'weighted', 'lse', 'hard', 'mean', not 'soft'"),
        ({"softmax": "mean"}, "softmax must be one of 'lse', 'hard', not 'mean'"),
        ({"reduction": "macro"}, "reduction must be one of"),
        ({"num_classes": 0}, "num_classes must be at least 1"),
        ({"gather": True}, "gather=True needs num_classes"),
        ({"gather": True, "num_classes": 3, "distance": "euclidean"}, "Euclidean distances cannot be computed from"),
    ],
)
def test_what_cannot_be_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        SoftSilhouetteLoss(**arguments)


def test_inputs_that_do_not_fit_are_refused():
    x, y = made()
    loss = SoftSilhouetteLoss(num_classes=5)
    for rows, labels, words in [
        (x, y[:-1], "shape"),
        (x[0], y, "shape"),
        (x, y[:, None], "shape"),
        (x[:0], y[:0], "empty"),
        (x.long(), y, "floating point"),
        (x, y.double(), "labels must be integers"),
        (x, y - 1, "the label -1 is not one of 0 to 4"),
        (x, y + 1, "the label 5 is not one of 0 to 4"),
    ]:
        with pytest.raises(ValueError, match=words):
            loss(rows, labels)
    with pytest.raises(ValueError, match="cross-entropy needs logits"):
        HybridLoss()(x, y)
    with pytest.raises(ValueError, match="all weights are 0"):
        HybridLoss(0, 0, 0)
    with pytest.raises(ValueError, match="weight silhouette"):
        HybridLoss(silhouette=-1)


def test_gather_without_a_process_group_changes_nothing():
    x, y = made()
    assert torch.equal(SoftSilhouetteLoss(num_classes=5, gather=True)(x, y), SoftSilhouetteLoss()(x, y))
    assert torch.equal(SupervisedContrastiveLoss(gather=True)(x, y), SupervisedContrastiveLoss()(x, y))


def test_the_examples_of_the_documentation():
    import embq.torch

    assert doctest.testmod(embq.torch).failed == 0


def test_the_training_of_docs_training_md(monkeypatch):
    root = Path(__file__).resolve().parents[3]
    page = root / "docs" / "training.md"
    if not page.is_file():
        pytest.skip("SKIPPED LOUDLY: docs/training.md is not beside these tests, so its block is NOT run")
    monkeypatch.chdir(root)
    torch.manual_seed(0)
    block = page.read_text(encoding="utf-8").split("## In PyTorch", 1)[1].split("```python\n", 1)[1].split("```", 1)[0]
    names = {}
    exec(block, names)
    embeddings = names["encoder"](names["rows"])
    assert SoftSilhouetteLoss(num_classes=10)(embeddings, names["labels"]) < 0.4
    assert (names["head"](embeddings).argmax(1) == names["labels"]).float().mean() > 0.9
