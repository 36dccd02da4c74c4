#!/usr/bin/env python3
"""Times the loss and its gradient on the same synthetic data, alternating in one run: embq score, embq grad, PyTorch.

Requires Python with numpy, and a release build of embq; and PyTorch to time it as well:

    cargo build --release
    python3 benches/gradient.py --rows 20000 --dimensions 512 --classes 100
    python3 benches/gradient.py --rows 5000 --torch

embq's times are those that it reports, without reading files. PyTorch computes the soft silhouette loss with cosine
distance from all pairs, and its gradient by automatic differentiation, in float32 on the same number of threads.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import numpy as np

from compare_sklearn import made


def torch_seconds(embeddings, labels, temperature):
    """The loss, and the times of the loss alone and with its gradient, in seconds."""
    import torch

    x = torch.tensor(embeddings, requires_grad=True)
    y = torch.tensor(labels)
    members = torch.nn.functional.one_hot(y).to(x.dtype)
    counts = members.sum(0)
    own = members.bool()
    start = time.perf_counter()
    z = torch.nn.functional.normalize(x, dim=1)
    distances = 1 - z @ z.T
    means = distances @ members / (counts - members)
    a = means[own]
    others = means.masked_fill(own, float("inf"))
    weights = torch.softmax(-others / temperature, 1)
    b = (weights * means.masked_fill(own, 0)).sum(1)
    m = temperature * torch.logaddexp(a / temperature, b / temperature)
    loss = 1 - ((b - a) / m).mean()
    forward = time.perf_counter() - start
    loss.backward()
    return loss.item(), forward, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--loss", default="silhouette", choices=["silhouette", "supcon"])
    parser.add_argument("--distance", default="cosine", choices=["cosine", "euclidean", "sqeuclidean"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--torch", action="store_true", help="time PyTorch too")
    parser.add_argument("--embq", default="target/release/embq")
    arguments = parser.parse_args()
    embq = os.path.abspath(arguments.embq)
    embeddings, labels = made(arguments.rows, arguments.dimensions, arguments.classes)
    seconds = {"score": [], "grad": [], "torch loss": [], "torch grad": []}
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/embeddings.npy", embeddings)
        np.save(f"{folder}/labels.npy", labels)
        inputs = ["embeddings.npy", "-l", "labels.npy", "--distance", arguments.distance, "--format", "json"]
        commands = {
            "score": [embq, "score", *inputs, "--metrics", "soft_silhouette_loss"],
            "grad": [embq, "grad", *inputs, "--loss", arguments.loss, "--gradient", "gradient.npy"],
        }
        for run in range(arguments.runs + 1):
            for name, command in commands.items():
                result = json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout)
                # The first run is a warm-up.
                if run > 0:
                    seconds[name].append(result["timing"]["compute_seconds"])
            if arguments.torch and run > 0:
                loss, forward, both = torch_seconds(embeddings, labels, 0.1)
                seconds["torch loss"].append(forward)
                seconds["torch grad"].append(both)
                assert abs(loss - result["loss"]) < 1e-4, (loss, result["loss"])
    shape = f"{arguments.rows} x {arguments.dimensions}, {arguments.classes} classes"
    print(f"{shape}, {arguments.loss}, {arguments.distance}, {os.cpu_count()} cores, medians of {arguments.runs}")
    medians = {name: statistics.median(values) for name, values in seconds.items() if values}
    for name, median in medians.items():
        print(f"{name:<12}{median:9.4f} s  {median / medians['score']:6.2f} x score")


if __name__ == "__main__":
    main()
