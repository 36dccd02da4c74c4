#!/usr/bin/env python3
"""Times embq and scikit-learn on the same synthetic data, alternating in one run.

Requires Python with numpy and scikit-learn, and a release build of embq:

    cargo build --release
    python3 benches/compare_sklearn.py --rows 20000 --dimensions 512 --classes 100 --distance cosine

embq is timed as a whole process that reads the files and computes hard and soft silhouettes and all class statistics;
scikit-learn computes silhouette_samples on arrays in memory. Quote the medians and their ratio.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import numpy as np


def made(rows, dimensions, classes):
    """Overlapping clusters in float32."""
    random = np.random.default_rng(0)
    centres = 0.5 * random.standard_normal((classes, dimensions), dtype=np.float32)
    labels = random.integers(0, classes, rows)
    embeddings = random.standard_normal((rows, dimensions), dtype=np.float32)
    for start in range(0, rows, 50_000):
        embeddings[start : start + 50_000] += centres[labels[start : start + 50_000]]
    return embeddings, labels


def timed(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--distance", default="cosine", choices=["cosine", "euclidean", "sqeuclidean", "manhattan"])
    parser.add_argument("--runs", type=int, default=5, help="runs of embq")
    parser.add_argument("--peer-runs", type=int, default=1, help="runs of scikit-learn; 0 leaves it out")
    parser.add_argument("--embq", default="target/release/embq")
    arguments = parser.parse_args()

    embeddings, labels = made(arguments.rows, arguments.dimensions, arguments.classes)
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("embeddings.npy", "labels.npy")]
        np.save(paths[0], embeddings)
        np.save(paths[1], labels)
        command = [arguments.embq, "score", paths[0], "-l", paths[1], "--distance", arguments.distance, "--format", "json"]

        def run():
            return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

        run()
        ours, results = zip(*(timed(run) for _ in range(arguments.runs)))
    print(f"{arguments.rows} x {arguments.dimensions}, {arguments.classes} classes, {arguments.distance}, {os.cpu_count()} cores")
    print(f"embq          median {statistics.median(ours):.3f} s of {arguments.runs} (from {min(ours):.3f} to {max(ours):.3f})")
    if arguments.peer_runs:
        from sklearn.metrics import silhouette_samples

        theirs, scores = zip(
            *(timed(lambda: silhouette_samples(embeddings, labels, metric=arguments.distance)) for _ in range(arguments.peer_runs))
        )
        print(f"scikit-learn  median {statistics.median(theirs):.3f} s of {arguments.peer_runs}")
        print(f"ratio         {statistics.median(theirs) / statistics.median(ours):.0f}")
        difference = abs(float(scores[0].mean()) - results[0]["metrics"]["silhouette"])
        print(f"difference of the mean silhouettes {difference:.1e}")


if __name__ == "__main__":
    main()
