#!/usr/bin/env python3
"""Times embq's probes and k-means beside scikit-learn and the products that they cannot do without, in turn.

    pip install numpy scikit-learn
    cargo bench -p embq-core --bench probes --no-run
    python3 benches/probes.py [--only ridge|k_means|logistic] [--runs 3]

The rows are overlapping Gaussian clusters with variances that fall off from dimension to dimension, as those of embeddings do.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent


def made(rows, dimensions, classes, spread):
    random = np.random.default_rng(7)
    labels = random.integers(0, classes, rows)
    decay = np.arange(1, dimensions + 1) ** -0.5
    centres = random.normal(size=(classes, dimensions)) * decay
    x = centres[labels] + spread * random.normal(size=(rows, dimensions)) * decay
    return x.astype(np.float32), labels.astype(np.int64)


def timed(work):
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def embq(built, work, folder):
    command = [built, work, folder / "x.npy", folder / "y.npy"]
    return json.loads(subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout)


def built():
    command = ["cargo", "bench", "-p", "embq-core", "--bench", "probes", "--no-run", "--message-format", "json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return next(found for line in lines if (found := json.loads(line).get("executable")))


def ridge(x, labels):
    wide = x.astype(np.float64)
    targets = np.where(labels[:, None] == np.arange(labels.max() + 1), 1.0, -1.0)
    return {"X'X and X'Y, float64": lambda: (wide.T @ wide, wide.T @ targets, "")[2]}


def k_means(x, labels):
    from sklearn.cluster import KMeans

    return {"KMeans(n_init=10)": lambda: f"inertia {KMeans(labels.max() + 1, n_init=10, random_state=0).fit(x).inertia_:.6g}"}


def logistic(x, labels):
    from sklearn.linear_model import LogisticRegression

    def fit(rows, tolerance):
        model = LogisticRegression(tol=tolerance, max_iter=10000).fit(rows, labels)
        columns = model.decision_function(x.astype(np.float64))
        largest = columns.max(axis=1)
        losses = largest + np.log(np.exp(columns - largest[:, None]).sum(axis=1)) - columns[np.arange(len(x)), labels]
        return f"objective {losses.sum() + 0.5 * (model.coef_.astype(np.float64) ** 2).sum():.9g} steps {model.n_iter_}"

    wide = x.astype(np.float64)
    return {f"lbfgs, tol {tolerance}": lambda tolerance=tolerance: fit(wide, tolerance) for tolerance in (1e-4, 1e-6)}


SETS = {
    "ridge": (ridge, [(100_000, 768, 100, 1.0)]),
    "k_means": (k_means, [(20_000, 512, 100, 1.0), (20_000, 512, 100, 2.0)]),
    "logistic": (logistic, [(20_000, 256, 20, 1.5)]),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SETS)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--built", help="the benchmark, if it is built already")
    arguments = parser.parse_args()
    program = arguments.built or built()
    for name, (others, sets) in SETS.items():
        if arguments.only not in (None, name):
            continue
        for rows, dimensions, classes, spread in sets:
            x, labels = made(rows, dimensions, classes, spread)
            with tempfile.TemporaryDirectory() as folder:
                folder = Path(folder)
                np.save(folder / "x.npy", x)
                np.save(folder / "y.npy", labels)
                work = {"embq": None} | others(x, labels)
                times = {key: [] for key in work}
                for _ in range(arguments.runs):
                    for key, other in work.items():
                        if other is None:
                            found = embq(program, name, folder)
                            times[key].append(found.pop("seconds"))
                        else:
                            seconds, found = timed(other)
                            times[key].append(seconds)
                        print(f"{name} {rows} x {dimensions}, {classes} classes, {key}: {times[key][-1]:.3f} s {found}", flush=True)
                medians = {key: statistics.median(values) for key, values in times.items()}
                for key in list(work)[1:]:
                    print(f"{name}: {key} takes {medians[key] / medians['embq']:.2f} times as long as embq")


if __name__ == "__main__":
    main()
