#!/usr/bin/env python3
"""Times the losses of a training step: embq.torch, a naive implementation with all pairs, and pytorch-metric-learning.

A step is the loss of synthetic float32 embeddings and its gradient with respect to them. The contenders take turns; the
median over the turns is printed.

    pip install 'embq[torch]' pytorch-metric-learning
    python3 benches/losses.py --batches 256,1024,4096 --classes 10,100
"""

import argparse
import platform
import statistics
import time

import torch
from pytorch_metric_learning.losses import SupConLoss

from embq.torch import HybridLoss, SoftSilhouetteLoss, SupervisedContrastiveLoss


def all_pairs(embeddings, labels, classes, temperature=0.1):
    """The soft silhouette loss with cosine distance from an N x N matrix."""
    members = torch.nn.functional.one_hot(labels, classes).to(embeddings.dtype)
    counts = members.sum(0)
    z = torch.nn.functional.normalize(embeddings, dim=1)
    means = (1 - z @ z.T) @ members / (counts - members).clamp(min=1)
    own = members.bool()
    a = means[own]
    others = means.masked_fill(own | (counts == 0), torch.inf)
    weights = torch.softmax(-others / temperature, 1)
    b = (weights * means).sum(1)
    scores = (b - a) / (temperature * torch.logaddexp(a / temperature, b / temperature))
    return 1 - torch.where(counts[labels] > 1, scores, 0).mean()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", default="256,1024,4096", help="rows of a step")
    parser.add_argument("--classes", default="10,100")
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=4.0, help="at most about so long for all turns of a setting")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"PyTorch {torch.__version__}, Python {platform.python_version()}, {arguments.threads} threads\n")
    header = None
    for classes in map(int, arguments.classes.split(",")):
        silhouette = SoftSilhouetteLoss(num_classes=classes)
        by_pairs = SoftSilhouetteLoss(num_classes=classes, distance="euclidean")
        contenders = {
            "SoftSilhouetteLoss": silhouette,
            "all pairs": lambda x, y, classes=classes: all_pairs(x, y, classes),
            "Euclidean": by_pairs,
            "SupervisedContrastiveLoss": SupervisedContrastiveLoss(),
            "SupConLoss (pml)": SupConLoss(temperature=0.1),
            "HybridLoss(0, 1, 1)": HybridLoss(0, 1, 1, num_classes=classes),
        }
        if header is None:
            header = " | ".join(["rows", "classes", *contenders])
            print(f"| {header} |\n|{'---|' * (2 + len(contenders))}")
        for rows in map(int, arguments.batches.split(",")):
            generator = torch.Generator().manual_seed(0)
            labels = torch.randint(classes, (rows,), generator=generator)
            centres = torch.randn(classes, arguments.dimensions, generator=generator)
            made = centres[labels] + 2 * torch.randn(rows, arguments.dimensions, generator=generator)
            made, labels = made.to(arguments.device), labels.to(arguments.device)
            seconds = {name: [] for name in contenders}
            begun = time.perf_counter()
            values = {}
            while len(seconds["all pairs"]) < 3 or time.perf_counter() - begun < arguments.seconds:
                for name, loss in contenders.items():
                    embeddings = made.clone().requires_grad_()
                    start = time.perf_counter()
                    value = loss(embeddings, labels)
                    value.backward()
                    if arguments.device != "cpu":
                        torch.cuda.synchronize()
                    seconds[name].append(time.perf_counter() - start)
                    values[name] = value.item(), embeddings.grad
            # The first turn is a warm-up.
            medians = [1e3 * statistics.median(times[1:]) for times in seconds.values()]
            for first, second in [
                ("SoftSilhouetteLoss", "all pairs"),
                ("SupervisedContrastiveLoss", "SupConLoss (pml)"),
            ]:
                assert abs(values[first][0] - values[second][0]) < 1e-4, (first, values[first][0], values[second][0])
                assert torch.allclose(
                    values[first][1], values[second][1], atol=1e-3 * float(values[first][1].abs().max())
                )
            print("| " + " | ".join([str(rows), str(classes), *(f"{median:.3g}" for median in medians)]) + " |")


if __name__ == "__main__":
    main()
