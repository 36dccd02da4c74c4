#!/usr/bin/env python3
"""Times exact nearest neighbours in embq and scikit-learn (brute force) on the same synthetic data, in one run.

    cargo build --release
    pip install numpy scikit-learn
    python3 benches/neighbours.py [--rows 20000] [--dimensions 512] [--neighbours 10] [--distance euclidean]

embq is timed as a whole process: reading the file, neighbours, k-NN accuracy, and printing. scikit-learn is timed
without reading, for the neighbours alone. Both must find the same rows, which is checked by recall@k.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import sklearn
from sklearn.neighbors import NearestNeighbors

EMBQ = Path(__file__).resolve().parent.parent / "target/release/embq"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--neighbours", type=int, default=10)
    parser.add_argument("--distance", default="euclidean", choices=["cosine", "euclidean", "manhattan"])
    parser.add_argument("--metrics", default="knn_accuracy,recall,precision_at_1,hubness")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--embq", default=EMBQ)
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    labels = random.integers(arguments.classes, size=arguments.rows)
    centres = random.normal(size=(arguments.classes, arguments.dimensions)) * 0.3
    x = (random.normal(size=(arguments.rows, arguments.dimensions)) + centres[labels]).astype(np.float32)
    k = arguments.neighbours
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/x.npy", x)
        np.save(f"{folder}/y.npy", labels)
        command = [arguments.embq, "score", f"{folder}/x.npy", "-l", f"{folder}/y.npy", "--distance", arguments.distance]
        command += ["--metrics", arguments.metrics, "--k", str(k), "--format", "json"]
        metric = "cityblock" if arguments.distance == "manhattan" else arguments.distance
        for _ in range(arguments.repeats):
            start = time.perf_counter()
            result = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            ours.append(time.perf_counter() - start)
            start = time.perf_counter()
            search = NearestNeighbors(n_neighbors=k, algorithm="brute", metric=metric, n_jobs=-1).fit(x)
            found = search.kneighbors(return_distance=False)
            theirs.append(time.perf_counter() - start)
    recall = np.mean((labels[found] == labels[:, None]).any(axis=1))
    print(f"{arguments.rows} x {arguments.dimensions}, k {k}, {arguments.distance}, scikit-learn {sklearn.__version__}")
    print(f"embq {np.median(ours):.2f} s, scikit-learn {np.median(theirs):.2f} s: {np.median(theirs) / np.median(ours):.1f} x")
    print(f"recall@{k} {result['metrics'][f'recall@{k}']:.6f} and {recall:.6f}")


if __name__ == "__main__":
    main()
