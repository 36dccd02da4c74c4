#!/usr/bin/env python3
"""Measures embq on Spark, Dask and Ray against Spark ML's ClusteringEvaluator and against embq alone.

    pip install '.[spark,dask,ray]'
    python benches/engines.py [ROWS [FOLDER]]

Writes ROWS x 128 float32 rows (1,000,000 by default) in 100 classes as 16 Parquet files to FOLDER, and prints for each way
the median of three runs, engines started and warm, with the values of the silhouette: by the clock, and of all cores
together, which other work on the machine disturbs less. RUNS sets another number. Needs Java for Spark, and Linux. Every way has
the same cores: as many tasks at a time as there are cores, of one thread each, and as many threads for embq alone.
"""

import logging
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

import embq

DIMENSIONS, CLASSES, FILES = 128, 100, 16
RUNS = int(os.environ.get("RUNS", "3"))
CORES = len(os.sched_getaffinity(0))


def write(folder, rows):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLASSES, DIMENSIONS)).astype(np.float32)
    for number, count in enumerate(np.diff(np.linspace(0, rows, FILES + 1).astype(int))):
        labels = rng.integers(0, CLASSES, count)
        X = centres[labels] + 1.5 * rng.standard_normal((count, DIMENSIONS), dtype=np.float32)
        vectors = pa.ListArray.from_arrays(np.arange(0, (count + 1) * DIMENSIONS, DIMENSIONS, dtype=np.int32), X.ravel())
        table = pa.table({"embedding": vectors, "label": labels.astype(np.int32)})
        parquet.write_table(table, folder / f"{number:02}.parquet", compression="none", use_dictionary=["label"])


class Cores(threading.Thread):
    """Counts the time that cores work for this process and all that it starts. It looks often, since a worker of an engine
    may end and leave no trace."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen = {}
        self.start()

    def run(self):
        while True:
            self.look()
            time.sleep(0.2)

    def look(self):
        own, parents = {}, {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(fields[1])
            own[int(folder.name)] = (fields[19], int(fields[11]) + int(fields[12]))
        for process, (born, ticks) in own.items():
            ancestor = process
            while ancestor in parents and ancestor != os.getpid():
                ancestor = parents[ancestor]
            if ancestor == os.getpid():
                self.seen[process, born] = ticks

    def seconds(self):
        self.look()
        return sum(self.seen.copy().values()) / os.sysconf("SC_CLK_TCK")


CORE_TIME = Cores()


def measured(name, work, runs=RUNS, warm=True):
    """Prints the median times of a call, by the clock and of all cores together, and what it returns."""
    if warm:
        work()
    times, cores = [], []
    for _ in range(runs):
        started, before = time.perf_counter(), CORE_TIME.seconds()
        found = work()
        times.append(time.perf_counter() - started)
        cores.append(CORE_TIME.seconds() - before)
    spread = ", ".join(f"{value:.2f}" for value in sorted(times))
    core = statistics.median(cores)
    print(f"{name:<60} {statistics.median(times):7.2f} s, {core:7.2f} core s  ({spread})  {found}", flush=True)


def alone(folder):
    pattern = str(folder / "*.parquet")
    for metric in ("sqeuclidean", "cosine"):
        measured(f"embq alone, {metric}", lambda: embq.score(pattern, "label", metric=metric, n_jobs=CORES, progress=False).silhouette)


def parts(folder):
    """The same two passes over files in this process, one at a time with all cores, and where their time goes."""
    from embq import partial

    spent = dict.fromkeys(["reading", "moments", "scores", "merging"], 0.0)

    def timed(what, work):
        started = time.perf_counter()
        found = work()
        spent[what] += time.perf_counter() - started
        return found

    files = sorted(folder.glob("*.parquet"))
    states = [partial.moments(timed("reading", lambda: parquet.read_table(file)), n_jobs=CORES) for file in files]
    moments = timed("merging", lambda: partial.merge(states))
    spent["reading"] = 0.0
    for what, work in (("moments", lambda table: partial.moments(table, n_jobs=CORES)), ("scores", lambda table: partial.scores(table, moments, n_jobs=CORES))):
        states = []
        for file in files:
            table = timed("reading", lambda: parquet.read_table(file))
            states.append(timed(what, lambda: work(table)))
    timed("merging", lambda: partial.finish(states, moments))
    print("embq.partial over files: " + ", ".join(f"{what} {seconds:.2f} s" for what, seconds in spent.items()), flush=True)


def spark(folder):
    from pyspark.ml.evaluation import ClusteringEvaluator
    from pyspark.ml.functions import array_to_vector
    from pyspark.sql import SparkSession
    from pyspark.sql import functions as F

    from embq.spark import score

    os.environ["PYSPARK_PYTHON"] = sys.executable
    started = time.perf_counter()
    builder = SparkSession.builder.master(f"local[{CORES}]").config("spark.driver.memory", "6g").config("spark.ui.enabled", "false")
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    session.range(1).count()
    print(f"{'Spark starts in':<60} {time.perf_counter() - started:7.2f} s", flush=True)
    rows = session.read.parquet(str(folder))
    with tempfile.TemporaryDirectory() as stored:
        as_vectors = rows.select(array_to_vector("embedding").alias("features"), F.col("label").alias("prediction"))
        as_vectors.write.mode("overwrite").parquet(stored)
        vectors = session.read.parquet(stored)
        for metric, name in (("sqeuclidean", "squaredEuclidean"), ("cosine", "cosine")):
            measured(f"embq on Spark, {metric}", lambda: score(rows, metric=metric).silhouette)
            alone = {"metric": metric, "metrics": "silhouette"}
            measured(f"embq on Spark, {metric}, silhouette alone", lambda: score(rows, **alone).silhouette)
            measured("... handed over for each pass", lambda: score(rows, scratch=None, **alone).silhouette)
            measured("... vectors of Spark ML", lambda: score(vectors, "features", "prediction", **alone).silhouette)
            evaluator = ClusteringEvaluator(distanceMeasure=name)
            measured(f"ClusteringEvaluator, {metric}, vectors made of arrays", lambda: evaluator.evaluate(as_vectors))
            measured(f"ClusteringEvaluator, {metric}, stored vectors", lambda: evaluator.evaluate(vectors))

    def through(batches):
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"rows": [batch.num_rows]})

    measured("Spark hands all rows to Python once", lambda: rows.mapInArrow(through, "rows bigint").agg(F.sum("rows")).first()[0])
    session.stop()


def dask(folder):
    import dask.dataframe
    from distributed import Client, LocalCluster

    from embq.dask import score

    with LocalCluster(n_workers=CORES, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        for backend in ("pyarrow", None):
            rows = dask.dataframe.read_parquet(str(folder), **({"dtype_backend": backend} if backend else {}))
            for metric in ("sqeuclidean", "cosine"):
                what = "Arrow lists" if backend else "arrays"
                measured(f"embq on Dask, {metric}, {what}", lambda: score(rows, metric=metric).silhouette)


def ray(folder):
    import ray.data

    from embq.ray import score

    ray.init(num_cpus=CORES, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    logging.getLogger("ray.data").setLevel("ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.read_parquet(str(folder))
    for metric in ("sqeuclidean", "cosine"):
        measured(f"embq on Ray, {metric}", lambda: score(rows, metric=metric).silhouette)
    ray.shutdown()


def main():
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[2] if len(sys.argv) > 2 else temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.glob("*.parquet")):
            write(folder, rows)
        print(f"{rows:,} x {DIMENSIONS} float32 rows in {CLASSES} classes and {FILES} files, {CORES} cores; embq {embq.__version__}")
        wanted = os.environ.get("ENGINES", "alone,parts,spark,dask,ray").split(",")
        for way in (alone, parts, spark, dask, ray):
            if way.__name__ in wanted:
                way(folder)


if __name__ == "__main__":
    main()
