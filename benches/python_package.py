#!/usr/bin/env python3
"""Measures the installed package: import, program start, small and large inputs, memory, interrupts.

    pip install .
    python benches/python_package.py [ROWS]

Prints one line per number. The default is 1,000,000 rows (1 GB). Measuring memory requires Linux.
"""

import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

import numpy as np

import embq


def command(arguments, repeats=15):
    """The median time of a process in milliseconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run(arguments, stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def watched(work):
    """The time of a call in seconds, and its additional memory in megabytes."""
    before, peak, over = resident(), resident(), threading.Event()

    def watch():
        nonlocal peak
        while not over.wait(0.002):
            peak = max(peak, resident())

    thread = threading.Thread(target=watch)
    thread.start()
    started = time.perf_counter()
    work()
    took = time.perf_counter() - started
    over.set()
    thread.join()
    return took, (peak - before) / 1e6


def interrupted(X, y, metric):
    """The seconds from Ctrl-C to KeyboardInterrupt, and to the end of the computation."""
    sent = []
    # The signal is ignored if this runs in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(1.0, interrupt).start()
    try:
        embq.score(X, y, metric=metric, metrics=["silhouette", "dunn"])
    except KeyboardInterrupt:
        waited = time.perf_counter() - sent[0]
    else:
        return None
    used = time.process_time()
    time.sleep(1)
    return waited, time.process_time() - used


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    bare = command([sys.executable, "-c", "pass"])
    numpy = command([sys.executable, "-c", "import numpy"])
    both = command([sys.executable, "-c", "import numpy, embq"])
    print(f"python {bare:.1f} ms, with numpy {numpy:.1f} ms, with numpy and embq {both:.1f} ms: import {both - numpy:.1f} ms")
    program = shutil.which("embq", path=os.path.dirname(sys.executable)) or shutil.which("embq")
    print(f"embq --version {command([program, '--version']):.1f} ms")
    root = os.path.join(os.path.dirname(__file__), "..", "fixtures", "digits")
    X, y = (np.load(os.path.join(root, f"{name}.npy")) for name in ("embeddings", "labels"))
    embq.score(X, y)
    times = [watched(lambda: embq.score(X, y))[0] for _ in range(50)]
    print(f"score of digits {1e3 * statistics.median(times):.2f} ms")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 1000, rows)
    X = rng.standard_normal((rows, 256), dtype=np.float32)
    took, beside = watched(lambda: embq.score(X, y))
    print(f"score of {rows:,} x 256 float32, 1,000 classes: {took:.2f} s, {beside:.0f} MB beside {X.nbytes / 1e6:.0f} MB")
    names = np.array([f"class {code}" for code in range(1000)])
    from embq import _inputs

    forms = {"integers": y, "text": names[y], "objects": names.astype(object)[y], "list of text": names.astype(object)[y].tolist()}
    for name, labels in forms.items():
        times = [watched(lambda labels=labels: _inputs.labels(labels))[0] for _ in range(3)]
        print(f"{rows:,} labels, {name}: {1e3 * min(times):.0f} ms")
    for metric in ("euclidean", "manhattan"):
        found = interrupted(X[:60_000], y[:60_000], metric)
        if found:
            print(f"Ctrl-C in {metric}: KeyboardInterrupt after {1e3 * found[0]:.0f} ms, {1e3 * found[1]:.0f} ms of work in the second after")


if __name__ == "__main__":
    main()
