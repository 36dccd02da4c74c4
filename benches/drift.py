#!/usr/bin/env python3
"""Times embq drift next to pytorch-fid's formula (scipy) and prdc, one after the other in one run.

    pip install numpy scipy scikit-learn prdc
    cargo build --release
    python3 benches/drift.py target/release/embq

The features are random, of the sizes that people compare generated images by. Reading is part of embq's times and not of
the others'.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import linalg


def timed(task):
    started = time.perf_counter()
    value = task()
    return time.perf_counter() - started, value


def embq(program, reference, current, metrics, *more):
    command = [program, "drift", reference, current, "--metrics", metrics, "--format", "json", *more]
    seconds, run = timed(lambda: subprocess.run(command, capture_output=True, check=True))
    return seconds, json.loads(run.stdout)["metrics"]


def features(rows, dimensions, seed):
    """Float32 rows whose dimensions are correlated and have unequal variances."""
    random = np.random.default_rng(seed)
    low = random.standard_normal((rows, 64), dtype=np.float32)
    mix = np.random.default_rng(99).standard_normal((64, dimensions), dtype=np.float32)
    return np.maximum(low @ mix / 8 + random.standard_normal((rows, dimensions), dtype=np.float32) + 0.01 * seed, 0)


def frechet(mu, sigma, nu, tau):
    root = linalg.sqrtm(sigma.dot(tau))
    return (mu - nu).dot(mu - nu) + np.trace(sigma) + np.trace(tau) - 2 * np.trace(root.real)


def main():
    program = sys.argv[1]
    sizes = [int(size) for size in sys.argv[2:]] or [50_000, 20_000, 10_000, 2_048]
    of_frechet, of_kid, of_balls, dimensions = sizes
    folder = Path(tempfile.mkdtemp())
    paths = [str(folder / name) for name in ("x.npy", "y.npy")]
    x, y = [features(of_frechet, dimensions, seed) for seed in (0, 1)]
    for path, rows in zip(paths, (x, y)):
        np.save(path, rows)

    seconds, moments = timed(lambda: [(rows.astype(np.float64).mean(0), np.cov(rows.astype(np.float64), rowvar=False)) for rows in (x, y)])
    print(f"numpy: moments of 2 x {of_frechet:,} x {dimensions:,}: {seconds:.1f} s", flush=True)
    statistics = [str(folder / name) for name in ("x.npz", "y.npz")]
    for path, (mean, covariance) in zip(statistics, moments):
        np.savez(path, mu=mean, sigma=covariance)
    theirs, value = timed(lambda: frechet(*moments[0], *moments[1]))
    ours, found = embq(program, *statistics, "frechet_distance")
    error = abs(found["frechet_distance"] / value - 1)
    print(f"Fréchet distance of moments: scipy {theirs:.1f} s, embq {ours:.1f} s, {theirs / ours:.1f} times (off by {error:.1e})", flush=True)
    ours, found = embq(program, *paths, "frechet_distance")
    error = abs(found["frechet_distance"] / value - 1)
    print(f"of rows: numpy and scipy {theirs + seconds:.1f} s, embq {ours:.1f} s, {(theirs + seconds) / ours:.1f} times (off by {error:.1e})", flush=True)

    for path, rows in zip(paths, (x, y)):
        np.save(path, rows[:of_balls])
    from prdc import compute_prdc

    theirs, value = timed(lambda: compute_prdc(x[:of_balls], y[:of_balls], 5))
    ours, found = embq(program, *paths, "precision,recall,density,coverage")
    error = max(abs(found[name] - value[name]) for name in value)
    print(f"PRDC of 2 x {of_balls:,}: prdc {theirs:.1f} s, embq {ours:.1f} s, {theirs / ours:.1f} times (off by {error:.1e})", flush=True)

    for path, rows in zip(paths, (x, y)):
        np.save(path, rows[:of_kid])
    ours, found = embq(program, *paths, "kid")
    print(f"KID over all pairs of 2 x {of_kid:,}: embq {ours:.1f} s", flush=True)


if __name__ == "__main__":
    main()
