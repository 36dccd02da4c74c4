#!/usr/bin/env python3
"""Times embq drift next to pytorch-fid's formula (scipy) and prdc, and embq.similarity, one after the other in one run.

    pip install numpy scipy scikit-learn prdc
    pip install .
    python3 benches/drift.py frechet kid prdc similarity

The features are random, of the sizes that people compare generated images by. Reading is part of embq's times and not of
the others'. Times are seconds on the clock and, in parentheses, of processors: on a busy machine the latter say more. Peak
memory is that of embq's process (Linux), its input included.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import numpy as np

DIMENSIONS = 2_048
PROGRAM = os.environ.get("EMBQ", str(Path(sys.executable).with_name("embq")))


class Times(NamedTuple):
    clock: float
    processors: float

    def __add__(self, other):
        return Times(self.clock + other.clock, self.processors + other.processors)

    def __truediv__(self, other):
        return Times(self.clock / other.clock, self.processors / other.processors)

    def __str__(self):
        return f"{self.clock:.1f} ({self.processors:.1f})"


def timed(task):
    clock, processors = time.perf_counter(), time.process_time()
    value = task()
    return Times(time.perf_counter() - clock, time.process_time() - processors), value


def measured(*command):
    """Times, peak memory in MB and output of a process."""
    started = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    status, memory = Path(f"/proc/{process.pid}/status"), [0.0]

    def watch():
        # The usage that the system reports of a child includes what its parent used when it was started.
        while process.returncode is None:
            try:
                memory[0] = max(memory[0], int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1e3)
            except (OSError, TypeError):
                return
            time.sleep(0.02)

    watcher = Thread(target=watch)
    watcher.start()
    output = process.stdout.read()
    _, code, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)
    watcher.join()
    assert process.returncode == 0, command
    return Times(time.perf_counter() - started, usage.ru_utime + usage.ru_stime), memory[0], output


def drift(reference, current, metrics):
    options = ["--metrics", metrics, "--format", "json", "--no-progress", "--permutations", "0"]
    times, memory, output = measured(PROGRAM, "drift", reference, current, *options)
    return times, memory, json.loads(output)["metrics"]


def features(rows, dimensions, seed):
    """Float32 rows whose dimensions are correlated and have unequal variances."""
    random = np.random.default_rng(seed)
    low = random.standard_normal((rows, 64), dtype=np.float32)
    mix = np.random.default_rng(99).standard_normal((64, dimensions), dtype=np.float32)
    return np.maximum(low @ mix / 8 + random.standard_normal((rows, dimensions), dtype=np.float32) + 0.01 * seed, 0)


def saved(folder, rows):
    """Two sets, and the paths of their files."""
    sets = [features(rows, DIMENSIONS, seed) for seed in (0, 1)]
    paths = [folder / name for name in ("x.npy", "y.npy")]
    for path, values in zip(paths, sets):
        np.save(path, values)
    return sets, paths


def frechet_distance(mu, sigma, nu, tau):
    from scipy import linalg

    root = linalg.sqrtm(sigma.dot(tau))
    return (mu - nu).dot(mu - nu) + np.trace(sigma) + np.trace(tau) - 2 * np.trace(root.real)


def frechet(folder, rows=50_000):
    sets, paths = saved(folder, rows)
    of = lambda values: (values.mean(0), np.cov(values, rowvar=False))
    seconds, moments = timed(lambda: [of(values.astype(np.float64)) for values in sets])
    statistics = [folder / name for name in ("x.npz", "y.npz")]
    for path, (mean, covariance) in zip(statistics, moments):
        np.savez(path, mu=mean, sigma=covariance)
    theirs, value = timed(lambda: frechet_distance(*moments[0], *moments[1]))
    for what, inputs, theirs in (("of moments", statistics, theirs), ("of rows", paths, theirs + seconds)):
        ours, memory, found = drift(*inputs, "frechet_distance")
        error = abs(found["frechet_distance"] / value - 1)
        print(
            f"Fréchet distance {what}, 2 x {rows:,} x {DIMENSIONS:,}: numpy and scipy {theirs} s, embq {ours} s and "
            f"{memory:,.0f} MB: {theirs / ours} times (off by {error:.1e})",
            flush=True,
        )


def kid(folder, rows=20_000):
    _, paths = saved(folder, rows)
    ours, memory, found = drift(*paths, "kid")
    print(f"KID over all pairs of 2 x {rows:,} x {DIMENSIONS:,}: embq {ours} s and {memory:,.0f} MB ({found['kid']:.6g})", flush=True)


def prdc(folder, rows=10_000):
    from prdc import compute_prdc

    sets, paths = saved(folder, rows)
    theirs, value = timed(lambda: compute_prdc(*sets, 5))
    ours, memory, found = drift(*paths, "precision,recall,density,coverage")
    error = max(abs(found[name] - value[name]) for name in value)
    print(
        f"PRDC of 2 x {rows:,} x {DIMENSIONS:,}: prdc {theirs} s, embq {ours} s and {memory:,.0f} MB: "
        f"{theirs / ours} times (off by {error:.1e})",
        flush=True,
    )


def similarity(folder, rows=1_000_000, dimensions=256):
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, dimensions), dtype=np.float32)
    rotated = x @ np.linalg.qr(random.standard_normal((dimensions, dimensions)))[0].astype(np.float32)
    paths = [folder / name for name in ("x.npy", "y.npy")]
    for path, values in zip(paths, (x, rotated + 0.3 * random.standard_normal(x.shape, dtype=np.float32))):
        np.save(path, values)
    del x, rotated
    script = f"import embq; print(embq.similarity({str(paths[0])!r}, {str(paths[1])!r}, progress=False)['linear_cka'])"
    ours, memory, found = measured(sys.executable, "-c", script)
    print(f"similarity of 2 x {rows:,} x {dimensions}: embq {ours} s and {memory:,.0f} MB (CKA {float(found):.4f})", flush=True)


def main():
    tasks = {"frechet": frechet, "kid": kid, "prdc": prdc, "similarity": similarity}
    for name in sys.argv[1:] or tasks:
        with tempfile.TemporaryDirectory() as folder:
            tasks[name](Path(folder))


if __name__ == "__main__":
    main()
