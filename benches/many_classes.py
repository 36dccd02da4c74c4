#!/usr/bin/env python3
"""Scores a set of very many classes, at once and in parts, and prints time and peak memory of every command.

Requires Linux or macOS, Python with numpy, and a release build of embq:

    cargo build --release
    python3 benches/many_classes.py
    python3 benches/many_classes.py --classes 1000 --rows 200000 --dimensions 768 --parts 1 --only parts --threads 1

The set is `--rows` x `--dimensions` float32 rows, every class with the same number of rows. Peak memory is the maximum
resident set size of the process, which counts the pages of the files that it maps. The rates of docs/scaling.md are those
of the second command, with --format parquet, --metrics usual and --intervals.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np


def write_parts(folder, form, rows, dimensions, classes, parts):
    """Rows in random order in parts of equal size, as `emb-0.npy` with the labels `labels-0.npy` and so on, or as
    `emb-0.parquet`, which needs pyarrow."""
    generator = np.random.default_rng(0)
    means = generator.standard_normal((classes, dimensions), dtype=np.float32)
    labels = generator.permutation(np.arange(rows) % classes)
    for part, own in enumerate(np.array_split(labels, parts)):
        noise = generator.standard_normal((len(own), dimensions), dtype=np.float32)
        values = means[own] + 0.5 * noise
        if form == "npy":
            np.save(folder / f"emb-{part}.npy", values)
            np.save(folder / f"labels-{part}.npy", own)
            continue
        import pyarrow as pa
        import pyarrow.parquet as pq

        offsets = np.arange(len(own) + 1, dtype=np.int32) * dimensions
        table = pa.table({"emb": pa.ListArray.from_arrays(offsets, values.ravel()), "label": own})
        pq.write_table(table, folder / f"emb-{part}.parquet", use_dictionary=["label"], row_group_size=1 << 16)


def run(folder, embq, *command):
    """Runs a command; prints its seconds by the clock and of all cores together, and its peak memory."""
    started = time.perf_counter()
    process = subprocess.Popen([embq, *command, "--quiet"], cwd=folder)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status != 0:
        raise SystemExit(f"embq {' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    cores, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6
    print(f"{seconds:8.1f} s {cores:8.1f} core s {peak:8.0f} MB  embq {' '.join(command)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embq", default="target/release/embq")
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--classes", type=int, default=200_000)
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--format", choices=["npy", "parquet"], default="npy")
    parser.add_argument("--threads", type=int, default=0, help="as --threads of embq; 0 is all cores")
    parser.add_argument("--intervals", action="store_true", help="also the third pass")
    parser.add_argument("--metrics", default="silhouette", help="as --metrics of embq")
    parser.add_argument("--only", choices=["score", "parts"], help="one of the two ways")
    parser.add_argument("--folder", default=None, help="where the set is made and deleted")
    arguments = parser.parse_args()
    embq = os.path.abspath(arguments.embq)

    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        folder = Path(folder)
        parts = range(arguments.parts)
        shape = (arguments.rows, arguments.dimensions, arguments.classes, arguments.parts)
        # In a process of its own: what this one holds would count for the commands that it starts.
        writer = multiprocessing.get_context("spawn").Process(target=write_parts, args=(folder, arguments.format, *shape))
        writer.start()
        writer.join()
        if writer.exitcode != 0:
            raise SystemExit("the set could not be written")
        suffix = arguments.format
        size = sum((folder / f"emb-{part}.{suffix}").stat().st_size for part in parts)
        print(f"{arguments.rows} x {arguments.dimensions} in {arguments.classes} classes, {size / 1e6:.0f} MB")
        metrics = ["--metrics", arguments.metrics]
        threads = ["--threads", str(arguments.threads)] if arguments.threads else []
        labels = "labels-{}.npy" if suffix == "npy" else "label"
        results = []
        if arguments.only != "parts":
            inputs = [f"emb-*.{suffix}", "-l", labels.format("*"), *threads]
            run(folder, embq, "score", *inputs, *metrics, "-o", "whole.json")
            results.append("whole.json")
        if arguments.only != "score":
            inputs = [[f"emb-{part}.{suffix}", "-l", labels.format(part), *threads] for part in parts]
            moments = ["--moments", "moments.arrow"]
            for part in parts:
                run(folder, embq, "partial", *inputs[part], *metrics, "-o", f"p-{part}.arrow")
            run(folder, embq, "merge", "p-*.arrow", "-o", "moments.arrow")
            for part in parts:
                run(folder, embq, "partial", *inputs[part], *moments, "-o", f"s-{part}.arrow")
            run(folder, embq, "merge", "s-*.arrow", *moments, "-o", "parts.json")
            if arguments.intervals:
                for part in parts:
                    run(folder, embq, "partial", *inputs[part], *moments, "--intervals", "-o", f"s-{part}.arrow")
                run(folder, embq, "merge", "s-*.arrow", "-o", "scores.arrow")
                scores = ["--scores", "scores.arrow"]
                for part in parts:
                    run(folder, embq, "partial", *inputs[part], *moments, *scores, "-o", f"i-{part}.arrow")
                run(folder, embq, "merge", "i-*.arrow", *moments, *scores, "-o", "parts.json")
            results.append("parts.json")
            states = (folder / "moments.arrow").stat().st_size, (folder / "s-0.arrow").stat().st_size
            print("moments {:.0f} MB, scores of a part {:.0f} MB".format(*(size / 1e6 for size in states)))
        for result in results:
            metrics = json.loads((folder / result).read_text())["metrics"]
            print(result, {name: metrics[name] for name in ("silhouette", "soft_silhouette") if name in metrics})


if __name__ == "__main__":
    main()
