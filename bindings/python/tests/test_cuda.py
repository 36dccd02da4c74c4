"""Inputs and losses on a GPU, against the same on the CPU."""

import copy
import warnings

import embq
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed, so nothing is tested on a GPU")
if not torch.cuda.is_available():
    pytest.skip("there is no GPU, so the losses and arrays on one are NOT tested", allow_module_level=True)

from embq.torch import HybridLoss, SoftSilhouetteLoss, SupervisedContrastiveLoss  # noqa: E402

FORMS = [
    {"distance": distance, "softmin": softmin, "softmax": softmax}
    for distance in ("cosine", "sqeuclidean", "euclidean")
    for softmin in ("weighted", "lse", "hard", "mean")
    for softmax in ("lse", "hard")
]
TEMPERATURES = {"cosine": 0.1, "sqeuclidean": 3.0, "euclidean": 1.0}


def made(n=500, d=32, classes=9, dtype=torch.float64):
    """Rows around class means."""
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, n)
    rows = random.normal(size=(classes, d))[labels] + random.normal(size=(n, d))
    return torch.tensor(rows, dtype=dtype), torch.tensor(labels)


def step(loss, rows, labels, *logits):
    rows = rows.detach().clone().requires_grad_()
    value = loss(rows, labels, *logits)
    value.backward()
    return value.detach().cpu().double(), rows.grad.cpu().double()


def assert_near(found, expected, digits):
    assert torch.allclose(found[0], expected[0], rtol=0, atol=digits)
    assert (found[1] - expected[1]).abs().max() < digits * expected[1].abs().max()


@pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(form.values()))
def test_the_soft_silhouette_is_that_of_the_cpu(form):
    rows, labels = made()
    loss = SoftSilhouetteLoss(TEMPERATURES[form["distance"]], num_classes=9, **form)
    expected = step(loss, rows, labels)
    assert_near(step(loss, rows.cuda(), labels.cuda()), expected, 1e-11)
    assert_near(step(loss, rows.float().cuda(), labels.cuda()), expected, 1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_other_losses_are_those_of_the_cpu(dtype):
    rows, labels = made(dtype=dtype)
    digits = 1e-5 if dtype == torch.float32 else 1e-2
    for loss in (SupervisedContrastiveLoss(), HybridLoss(num_classes=9)):
        logits = [rows[:, :9].double()] if isinstance(loss, HybridLoss) else []
        expected = step(loss, rows.double(), labels, *logits)
        assert_near(step(loss, rows.cuda(), labels.cuda(), *(part.cuda() for part in logits)), expected, digits)


@pytest.mark.parametrize("distance", ["cosine", "sqeuclidean", "euclidean"])
def test_a_step_never_waits_for_the_gpu(distance):
    rows, labels = made(dtype=torch.float32)
    rows, labels = rows.cuda().requires_grad_(), labels.cuda()
    losses = [SoftSilhouetteLoss(num_classes=9, distance=distance), HybridLoss(num_classes=9, distance=distance)]
    logits = rows.detach()[:, :9].contiguous()
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses[0](rows, labels).backward()
        losses[1](rows, labels, logits).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_compiled_and_under_autocast():
    rows, labels = made(dtype=torch.float32)
    rows, labels = rows.cuda(), labels.cuda()
    loss = SoftSilhouetteLoss(num_classes=9)
    expected = step(loss, rows, labels)
    torch.compiler.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_near(step(torch.compile(copy.deepcopy(loss), fullgraph=True), rows, labels), expected, 1e-5)
    leaf = rows.clone().requires_grad_()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        value = loss(leaf, labels)
    value.backward()
    assert_near((value.detach().cpu().double(), leaf.grad.cpu().double()), expected, 1e-5)


def test_deterministic_algorithms_give_the_same_bits():
    rows, labels = made(n=20_000, dtype=torch.float32)
    rows, labels = rows.cuda(), labels.cuda()
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (step(SoftSilhouetteLoss(num_classes=9), rows, labels) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


def test_tensors_on_a_gpu_are_scored():
    rows, labels = made(dtype=torch.float32)
    expected = embq.score(rows.numpy(), labels.numpy(), sample_weight=np.ones(500))
    found = embq.score(rows.cuda(), labels.cuda(), sample_weight=torch.ones(500).cuda())
    assert found.silhouette == expected.silhouette


def test_arrays_of_cupy_are_scored():
    cupy = pytest.importorskip("cupy")
    rows, labels = made(dtype=torch.float32)
    expected = embq.score(rows.numpy(), labels.numpy(), sample_weight=np.ones(500))
    found = embq.score(cupy.asarray(rows.numpy()), cupy.asarray(labels.numpy()), sample_weight=cupy.ones(500))
    assert found.silhouette == expected.silhouette


def test_arrays_of_jax_are_scored():
    jax = pytest.importorskip("jax")
    rows, labels = made(dtype=torch.float32)
    expected = embq.score(rows.numpy(), labels.numpy())
    assert embq.score(jax.numpy.asarray(rows.numpy()), jax.numpy.asarray(labels.numpy())).silhouette == expected.silhouette
