#!/usr/bin/env python3
"""Scores a set of 8 GB with 1 GB of memory, and prints the peak.

Requires Linux with control groups (as root, or with systemd-run), Python with numpy and pyarrow, a release build of
embq, and 9 GB of temporary disk space:

    cargo build --release
    python3 benches/larger_than_memory.py --format npy
    python3 benches/larger_than_memory.py --format parquet

The limit covers everything: the program's own memory and the cached pages of the file. The printed peak is that of the
program's own (anonymous) memory, sampled while it runs; pages of the file are evicted when memory is needed.
"""

import argparse
import contextlib
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

CHUNK = 1 << 16


def chunks(rows, dimensions, classes, seed=0):
    """Rows around class means with their labels, in blocks."""
    generator = np.random.default_rng(seed)
    means = generator.standard_normal((classes, dimensions), dtype=np.float32)
    for start in range(0, rows, CHUNK):
        labels = generator.integers(0, classes, min(CHUNK, rows - start))
        noise = generator.standard_normal((len(labels), dimensions), dtype=np.float32)
        yield means[labels] + 2 * noise, labels


def write_npy(folder, rows, dimensions, classes):
    embeddings = np.lib.format.open_memmap(folder / "emb.npy", "w+", np.float32, (rows, dimensions))
    start, all_labels = 0, []
    for values, labels in chunks(rows, dimensions, classes):
        embeddings[start : start + len(labels)] = values
        start += len(labels)
        all_labels.append(labels)
    np.save(folder / "labels.npy", np.concatenate(all_labels))
    return ["emb.npy", "-l", "labels.npy"]


def write_parquet(folder, rows, dimensions, classes, row_group):
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("emb", pa.list_(pa.float32())), ("label", pa.int64())])
    with pq.ParquetWriter(folder / "emb.parquet", schema, use_dictionary=["label"]) as writer:
        batches, held = [], 0
        for values, labels in chunks(rows, dimensions, classes):
            offsets = np.arange(len(labels) + 1, dtype=np.int32) * dimensions
            lists = pa.ListArray.from_arrays(offsets, values.ravel())
            batches.append(pa.record_batch([lists, labels], schema=schema))
            held += len(labels)
            if held >= row_group:
                writer.write_table(pa.Table.from_batches(batches), row_group_size=held)
                batches, held = [], 0
        if batches:
            writer.write_table(pa.Table.from_batches(batches), row_group_size=held)
    return ["emb.parquet", "-l", "label"]


def forget(path):
    """Evicts a file's pages from memory, where they would count for the process that wrote them."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@contextlib.contextmanager
def control_group(limit):
    """The prefix of a command that limits its memory."""
    name = f"embq-{os.getpid()}"
    v1, v2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    files = None
    if (v1 / "memory.limit_in_bytes").exists():
        group, files = v1 / name, ["memory.limit_in_bytes"]
    elif (v2 / "cgroup.controllers").exists() and os.access(v2, os.W_OK):
        group, files = v2 / name, ["memory.max"]
    if files is None or not os.access(group.parent, os.W_OK):
        yield ["systemd-run", "--user", "--scope", "--quiet", "-p", f"MemoryMax={limit}", "-p", "MemorySwapMax=0"]
        return
    group.mkdir()
    try:
        for file in files:
            (group / file).write_text(str(limit))
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]
    finally:
        group.rmdir()


def own_memory(process):
    """The anonymous memory of a process in bytes."""
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embq", default="target/release/embq")
    parser.add_argument("--format", choices=["npy", "parquet"], default="npy")
    parser.add_argument("--rows", type=int, default=4_200_000)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--row-group", type=int, default=1 << 20, help="rows of a Parquet row group")
    parser.add_argument("--limit", type=int, default=10**9, help="bytes of memory")
    parser.add_argument("--distance", default="cosine")
    parser.add_argument("--folder", default=None, help="where the set is made and deleted")
    arguments = parser.parse_args()
    embq = os.path.abspath(arguments.embq)

    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        folder = Path(folder)
        shape = (arguments.rows, arguments.dimensions, arguments.classes)
        inputs = write_npy(folder, *shape) if arguments.format == "npy" else write_parquet(folder, *shape, arguments.row_group)
        size = (folder / inputs[0]).stat().st_size
        forget(folder / inputs[0])
        with control_group(arguments.limit) as limited:
            command = [embq, "score", *inputs, "--distance", arguments.distance, "--quiet", "-o", "result.json"]
            started, peak = time.perf_counter(), 0
            process = subprocess.Popen(limited + command, cwd=folder)
            while process.poll() is None:
                peak = max(peak, own_memory(process.pid))
                time.sleep(0.02)
            seconds = time.perf_counter() - started
        if process.returncode != 0:
            raise SystemExit(f"embq ended with {process.returncode}")
        silhouette = json.loads((folder / "result.json").read_text())["metrics"]["silhouette"]
        print(f"{arguments.rows} x {arguments.dimensions}, {arguments.classes} classes, {arguments.distance}: "
              f"silhouette {silhouette:.6f}")
        print(f"file {size / 1e9:.2f} GB, limit {arguments.limit / 1e9:.2f} GB, own memory at most {peak / 1e6:.0f} MB, "
              f"{seconds:.1f} s")


if __name__ == "__main__":
    main()
