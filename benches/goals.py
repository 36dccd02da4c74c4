#!/usr/bin/env python3
"""Measures embq against its performance goals, each relative to a yardstick in the same run.

Requires Python with numpy, a release build of embq, and 5 GB of temporary disk space for the largest set:

    cargo build --release
    python3 benches/goals.py                   # all sets, about ten minutes on two cores
    python3 benches/goals.py --only 20000      # only sets with this many rows

First come single scores. Their yardstick is the product of matrices that the work cannot do without, by the same crate
(`crates/embq-core/benches/product.rs`), which is timed in turn with embq. embq is timed as a whole process that reads its
files, which are in the page cache. All times are medians. Memory is the program's own at its peak, without the pages of
mapped files. `compare_sklearn.py` times scikit-learn beside embq.

Then come intervals, comparisons and pages, whose yardstick is the score of the same file; the score of a Parquet file,
against that of the same rows as `.npy` and `polars.read_parquet` (if polars is installed); and `rankme`, against a float32
Gram matrix with its eigenvalues by NumPy.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from compare_sklearn import made, timed
from larger_than_memory import own_memory

ROOT = Path(__file__).resolve().parent.parent
DIGITS = [ROOT / "fixtures/digits/embeddings.npy", "-l", ROOT / "fixtures/digits/labels.npy"]

# Rows, dimensions, classes, distance, runs.
SETS = [
    (20_000, 512, 100, "cosine", 15),
    (20_000, 512, 100, "euclidean", 5),
    (20_000, 512, 100, "manhattan", 5),
    (100_000, 256, 1_000, "cosine", 9),
    (100_000, 256, 1_000, "euclidean", 3),
    (35_000, 128, 15_000, "cosine", 5),
    (35_000, 128, 15_000, "euclidean", 3),
    (1_000_000, 256, 1_000, "cosine", 5),
]

# Rows, dimensions and classes for intervals, comparisons and pages.
UNCERTAIN = [(20_000, 512, 100), (1_000_000, 128, 1_000)]


def product(built, rows, dimensions, columns):
    """The time of the product on one thread and on all threads, in seconds."""
    command = [built] if built else ["cargo", "bench", "--quiet", "-p", "embq-core", "--bench", "product", "--"]
    command += [rows, dimensions, columns, 1]
    output = subprocess.run([str(part) for part in command], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    result = json.loads(output.strip().splitlines()[-1])
    return result["one_thread_seconds"], result["seconds"]


def seconds_of(command):
    command = [str(part) for part in command]
    return timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))[0]


def peak_of(command):
    """The peak of a command's own memory in MB."""
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, own_memory(process.pid))
        time.sleep(0.002)
    return peak / 1e6


def computing(command):
    """The computation time that embq reports, in seconds."""
    output = subprocess.run([str(part) for part in command], check=True, capture_output=True).stdout
    return json.loads(output)["timing"]["compute_seconds"]


def files(folder, rows):
    """The paths of the rows and labels of a set."""
    return [folder / f"{rows}.npy", folder / f"{rows}-labels.npy"]


def scoring(arguments, folder, rows, distance):
    """The command that scores a set."""
    embeddings, labels = files(folder, rows)
    return [arguments.embq, "score", embeddings, "-l", labels, "--distance", distance, "--quiet"]


def read_seconds(path):
    return statistics.median(timed(Path(path).read_bytes)[0] for _ in range(5))


def measure(arguments, folder, rows, dimensions, classes, distance, runs):
    score = scoring(arguments, folder, rows, distance)
    columns = 0 if distance in ("euclidean", "manhattan") else classes
    seconds_of(score)
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(seconds_of(score))
        theirs.append(product(arguments.product, rows, dimensions, columns))
    single = [seconds_of([*score, "--threads", 1]) for _ in range(min(runs, 3))] if rows != 35_000 else []
    embq = statistics.median(ours)
    one, both = (statistics.median(values) for values in zip(*theirs))
    line = f"| {rows:,} x {dimensions}, {classes:,} | {distance} | {both:.3f} s | {embq:.3f} s | {embq / both:.2f} |"
    line += f" {peak_of(score):.0f} MB |"
    if single:
        line += f" {statistics.median(single) / embq:.2f} against {one / both:.2f} |"
    else:
        line += " |"
    print(line, flush=True)
    if rows == 20_000 and distance == "cosine":
        print(f"  (a read of the file takes {read_seconds(files(folder, rows)[0]):.3f} s)")


def uncertainty(arguments, folder, rows, dimensions, classes):
    """Intervals, a comparison and a page, against the score."""
    embeddings, labels = files(folder, rows)
    other = folder / f"{rows}-other.npy"
    values = np.load(embeddings)
    for start in range(0, rows, 50_000):
        noise = np.random.default_rng(start).standard_normal(values[start : start + 50_000].shape, dtype=np.float32)
        values[start : start + 50_000] += 0.3 * noise
    np.save(other, values)
    del values
    score = scoring(arguments, folder, rows, "cosine")
    intervals = [*score, "--intervals"]
    commands = {
        "--intervals": intervals,
        "compare": [arguments.embq, "compare", embeddings, other, "-l", labels, "--quiet"],
        "report": [arguments.embq, "report", embeddings, "-l", labels, "-o", folder / "report.html", "--quiet"],
    }
    seconds_of(score)
    runs = 9 if rows <= 20_000 else 3
    times = {name: [] for name in ["score", *commands]}
    for _ in range(runs):
        times["score"].append(seconds_of(score))
        for name, command in commands.items():
            times[name].append(seconds_of(command))
    alone = statistics.median(times.pop("score"))
    for name, seconds in times.items():
        seconds = statistics.median(seconds)
        line = f"| {rows:,} x {dimensions}, {classes:,} | {name} | {alone:.3f} s | {seconds:.3f} s | {seconds / alone:.1f} |"
        print(f"{line} {1e6 * peak_of(commands[name]) / rows:.0f} |", flush=True)
    other.unlink()


def parquet(arguments, folder, rows):
    """The score of a Parquet file against that of `.npy` and a read by polars."""
    try:
        import polars
    except ImportError:
        return print("polars is not installed: nothing of Parquet")
    embeddings, labels = files(folder, rows)
    values = np.load(embeddings)
    path = folder / f"{rows}.parquet"
    polars.DataFrame({"embedding": values}).write_parquet(path, compression="snappy")
    del values
    score = [arguments.embq, "score", path, "-l", labels, "--quiet"]
    npy = scoring(arguments, folder, rows, "cosine")
    seconds_of(score)
    triples = [(seconds_of(score), seconds_of(npy), timed(lambda: polars.read_parquet(path))[0]) for _ in range(3)]
    ours, plain, read = (statistics.median(values) for values in zip(*triples))
    ratio = ours / (plain + read)
    print(f"Parquet, {rows:,} rows: {ours:.2f} s; .npy {plain:.2f} s and polars.read_parquet {read:.2f} s, ratio {ratio:.2f}")
    path.unlink()


def rankme(arguments, folder, rows=100_000, dimensions=768):
    """rankme against a float32 Gram matrix with eigenvalues by NumPy."""
    embeddings, labels = made(rows, dimensions, 100)
    paths = [folder / "rankme.npy", folder / "rankme-labels.npy"]
    for path, values in zip(paths, (embeddings, labels)):
        np.save(path, values)
    command = [arguments.embq, "score", paths[0], "-l", paths[1], "--metrics", "rankme", "--quiet"]
    seconds_of(command)
    by_numpy = lambda: np.linalg.eigvalsh(embeddings.T @ embeddings)
    pairs = [(seconds_of(command), timed(by_numpy)[0]) for _ in range(3)]
    ours, theirs = (statistics.median(values) for values in zip(*pairs))
    print(f"rankme of {rows:,} x {dimensions}: {ours:.2f} s, NumPy {theirs:.2f} s, ratio {ours / theirs:.2f}", flush=True)


def gradient(arguments, folder, rows):
    embeddings, labels = files(folder, rows)
    inputs = [embeddings, "-l", labels, "--format", "json"]
    loss = [arguments.embq, "score", *inputs, "--metrics", "soft_silhouette_loss"]
    grad = [arguments.embq, "grad", *inputs, "--loss", "silhouette", "--gradient", folder / "gradient.npy"]
    pairs = [(computing(loss), computing(grad)) for _ in range(9)]
    alone, both = (statistics.median(values) for values in zip(*pairs))
    print(f"gradient of {rows:,} rows: {both:.3f} s, the loss alone {alone:.3f} s, ratio {both / alone:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embq", default=ROOT / "target/release/embq")
    parser.add_argument("--product", help="the benchmark of the product as it was built, if it is not to be built again")
    parser.add_argument("--only", type=int, help="only sets of so many rows")
    parser.add_argument("--folder", default=None, help="where the sets are made and deleted")
    arguments = parser.parse_args()
    sets = [case for case in SETS if arguments.only in (None, case[0])]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        folder = Path(folder)
        for rows, dimensions, classes in {case[:3]: None for case in sets}:
            embeddings, labels = made(rows, dimensions, classes)
            for path, values in zip(files(folder, rows), (embeddings, labels)):
                np.save(path, values)
            del embeddings, values
        print(f"{os.cpu_count()} cores")
        print("| rows x dimensions, classes | distance | product | whole process | ratio | own memory | one thread to all |")
        print("|---|---|---|---|---|---|---|", flush=True)
        for case in sets:
            measure(arguments, folder, *case)
        for rows in (20_000, 100_000):
            if arguments.only in (None, rows):
                gradient(arguments, folder, rows)
        uncertain = [case for case in UNCERTAIN if arguments.only in (None, case[0])]
        if uncertain:
            print("| rows x dimensions, classes | command | score | command | ratio | own bytes a row |")
            print("|---|---|---|---|---|---|", flush=True)
        for rows, dimensions, classes in uncertain:
            embeddings, labels = made(rows, dimensions, classes)
            for path, values in zip(files(folder, rows), (embeddings, labels)):
                np.save(path, values)
            del embeddings, values
            uncertainty(arguments, folder, rows, dimensions, classes)
        if arguments.only in (None, 1_000_000):
            parquet(arguments, folder, 1_000_000)
        if arguments.only in (None, 100_000):
            rankme(arguments, folder)
    for name, command in [("digits", ["score", *DIGITS, "--quiet"]), ("--version", ["--version"])]:
        seconds = statistics.median(seconds_of([arguments.embq, *command]) for _ in range(31))
        print(f"{name}: {1000 * seconds:.1f} ms")


if __name__ == "__main__":
    main()
