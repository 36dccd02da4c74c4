"""Compares gather=True in two processes with a single process that has all rows."""

import sys
from datetime import timedelta
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed, so embq.torch is NOT tested")
if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
    pytest.skip("SKIPPED LOUDLY: this PyTorch has no gloo, so gather=True is NOT tested", allow_module_level=True)

from embq.torch import HybridLoss, SoftSilhouetteLoss, SupervisedContrastiveLoss  # noqa: E402

PROCESSES = 2
# Processes have different numbers of rows; class 3 is only on the first, class 0 has one row on each.
LABELS = torch.tensor([0, 1, 1, 2, 3, 3, 2, 1, 1] + [0, 2, 2, 1, 2])
FIRST = 9
FORMS = [
    {"distance": distance, "softmin": softmin, "softmax": softmax}
    for distance in ("cosine", "sqeuclidean")
    for softmin in ("weighted", "lse", "hard", "mean")
    for softmax in ("lse", "hard")
]


def rows():
    generator = torch.Generator().manual_seed(1)
    # Far from the origin, so that using a different centre in each process would show.
    return torch.randn(len(LABELS), 6, generator=generator, dtype=torch.float64) + 3


def encoder():
    torch.manual_seed(2)
    return torch.nn.Linear(6, 4).double()


def losses():
    """Every loss by name, over all processes and over one."""
    for form in FORMS:
        yield (
            "-".join(form.values()),
            lambda gather, form=form: SoftSilhouetteLoss(0.5, num_classes=6, gather=gather, **form),
        )
    yield "sum", lambda gather: SoftSilhouetteLoss(0.5, num_classes=6, gather=gather, reduction="sum")
    yield "supcon", lambda gather: SupervisedContrastiveLoss(0.5, gather=gather)
    yield "supcon-sum", lambda gather: SupervisedContrastiveLoss(0.5, gather=gather, reduction="sum")
    yield "hybrid", lambda gather: HybridLoss(0, 2, 0.5, num_classes=6, gather=gather)


def work(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=PROCESSES,
        timeout=timedelta(seconds=60),
    )
    mine = slice(None, FIRST) if rank == 0 else slice(FIRST, None)
    found = {}
    for name, loss in losses():
        network = torch.nn.parallel.DistributedDataParallel(encoder())
        value = loss(gather=True)(network(rows()[mine]), LABELS[mine])
        value.backward()
        found[name] = (value.detach(), [parameter.grad for parameter in network.parameters()])
    # The losses of this process's rows, compared with all rows.
    single = SoftSilhouetteLoss(0.5, num_classes=6, gather=True, reduction="none")
    found["none"] = (single(rows()[mine], LABELS[mine]), [])
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    sys.path.insert(0, str(Path(__file__).parent))
    torch.multiprocessing.spawn(work, (str(folder),), nprocs=PROCESSES)
    return [torch.load(folder / f"{rank}.pt") for rank in range(PROCESSES)]


@pytest.mark.parametrize(("name", "loss"), [pytest.param(name, loss, id=name) for name, loss in losses()])
def test_loss_and_averaged_gradient_are_those_of_one_process_with_all_rows(found, name, loss):
    network = encoder()
    value = loss(gather=False)(network(rows()), LABELS)
    value.backward()
    for of_process in found:
        found_value, gradients = of_process[name]
        assert torch.isclose(found_value, value, rtol=1e-13)
        for gradient, parameter in zip(gradients, network.parameters()):
            assert torch.allclose(
                gradient, parameter.grad, rtol=0, atol=1e-13 * float(parameter.grad.abs().max()) + 1e-15
            )
        assert max(float(gradient.abs().max()) for gradient in gradients) > 1e-3


def test_losses_of_rows_are_those_among_all(found):
    expected = SoftSilhouetteLoss(0.5, num_classes=6, reduction="none")(rows(), LABELS)
    assert torch.allclose(torch.cat([of_process["none"][0] for of_process in found]), expected, rtol=1e-13)
    # They differ from those within the rows of one process.
    alone = SoftSilhouetteLoss(0.5, num_classes=6, reduction="none")(rows()[:FIRST], LABELS[:FIRST])
    assert not torch.allclose(alone, expected[:FIRST], rtol=1e-3)
