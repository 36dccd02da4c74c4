"""Data frames of Spark, Dask and Ray, on clusters of two processes that the tests start."""

import os
import shutil
import signal
import subprocess
import sys

import embq
import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

# Sizes of the partitions: skewed, of a single row, and empty ones.
SIZES = [400, 0, 1, 0, 30, 3, 250, 0]
COLUMNS = ["a", "b", "silhouette", "soft_silhouette"]


@pytest.fixture(scope="session")
def rows():
    """684 x 8 rows in 5 classes with their ids. One class is in one partition alone, and one row is there twice."""
    rng = np.random.default_rng(11)
    n = sum(SIZES)
    y = rng.integers(0, 4, n)
    y[420:425] = 4
    X = rng.normal(size=(n, 8)) + 2 * rng.normal(size=(5, 8))[y] + 5
    X[600], y[600] = X[10], y[10]
    return X, np.array(["ant", "bee", "cat", "dog", "eel"])[y]


@pytest.fixture(scope="session")
def partitions(rows):
    """The rows in partitions, as tables."""
    X, y = rows
    ends = np.cumsum([0, *SIZES])
    table = pa.table({"id": np.arange(len(X)), "embedding": pa.array(list(X)), "label": y})
    return [table.slice(start, end - start) for start, end in zip(ends, ends[1:])]


def close(found, expected):
    assert found.metrics.keys() == expected.metrics.keys()
    for name, value in expected.metrics.items():
        assert found[name] == pytest.approx(value, rel=1e-12, abs=1e-13), name
    assert found.classes["label"].tolist() == expected.classes["label"].tolist()
    assert found.classes["count"].tolist() == expected.classes["count"].tolist()
    np.testing.assert_allclose(found.classes["silhouette"], expected.classes["silhouette"], rtol=1e-12)


def same_intervals(found, whole):
    """1.96 standard errors to both sides, of rows in whatever partitions."""
    errors, expected = found.to_dict()["standard_errors"], whole.to_dict()["standard_errors"]
    assert errors.keys() == expected.keys() and len(errors) > 8
    for name, error in expected.items():
        assert errors[name] == pytest.approx(error, rel=1e-9), name
        low, high = found.intervals[name]
        assert (high - low) / 2 == pytest.approx(1.959963984540054 * error, rel=1e-9), name


def same_rows(table, expected, left=None):
    """Scores of rows in any order, as a pandas table, are those of the whole."""
    table = table.sort_values("id")
    ids = expected["row"] if left is None else left
    assert table["id"].tolist() == ids.tolist()
    assert table["label"].tolist() == expected["label"].tolist()
    assert table["nearest_other"].tolist() == expected["nearest_other"].tolist()
    for name in COLUMNS:
        np.testing.assert_allclose(table[name].to_numpy(dtype=float), expected[name], rtol=1e-12, atol=1e-13, err_msg=name)


def killer(marker, generations=0):
    """A function that kills its process, or an ancestor of it, the first time that it is called on whatever worker."""

    # Engines carry a nested function by value: their workers do not know this module.
    def kill_once():
        try:
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        victim = os.getpid()
        for _ in range(generations):
            with open(f"/proc/{victim}/stat") as file:
                victim = int(file.read().rpartition(")")[2].split()[1])
        os.kill(victim, signal.SIGKILL)

    return kill_once


# Spark


@pytest.fixture(scope="session")
def spark():
    pytest.importorskip("pyspark")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("there is no Java, so embq.spark is NOT tested")
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local-cluster[2,1,1024]").appName("embq")
    builder = builder.config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "4")
    session = builder.config("spark.executor.memory", "1g").getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def spark_frame(spark, partitions):
    """A data frame whose partitions are those of the rows."""
    given = [[(number, table.column("embedding").to_pylist(), table.column("label").to_pylist(), table.column("id").to_pylist())] for number, table in enumerate(partitions)]
    frame = spark.createDataFrame(
        spark.sparkContext.parallelize([row for part in given for row in part], len(given)),
        "part int, embedding array<array<double>>, label array<string>, id array<bigint>",
    )
    from pyspark.sql.functions import arrays_zip, col, explode

    zipped = frame.select(explode(arrays_zip("id", "embedding", "label")).alias("row"))
    return zipped.select(col("row.id").alias("id"), col("row.embedding").alias("embedding"), col("row.label").alias("label")).cache()


@pytest.mark.parametrize("metric", ["cosine", "sqeuclidean"])
def test_spark_gives_the_result_of_the_whole(spark_frame, rows, metric):
    from embq.spark import score

    assert spark_frame.rdd.glom().map(len).collect() == SIZES
    whole = embq.score(*rows, metric=metric, metrics=["usual", "calinski_harabasz"], matrix=True)
    result = score(spark_frame, metric=metric, metrics=["usual", "calinski_harabasz"], matrix=True)
    close(result, whole)
    np.testing.assert_allclose(result.matrix, whole.matrix, rtol=1e-12)
    close(with_intervals := score(spark_frame, metric=metric, intervals=True), embq.score(*rows, metric=metric))
    same_intervals(with_intervals, embq.score(*rows, metric=metric, intervals=True))
    assert "silhouette" in repr(result) and result.to_dict()["inputs"][0]["rows"] == sum(SIZES)
    same_rows(result.rows.toPandas(), whole.rows)
    assert result.rows.columns == ["id", "label", *COLUMNS, "nearest_other"]


def test_spark_shuffles_no_row(spark_frame, rows):
    from embq.spark import score

    result = score(spark_frame, columns=["id"])
    plan = result.rows._jdf.queryExecution().toString()
    assert "Exchange" not in plan and "MapInArrow" in plan
    close(score(spark_frame, depth=3), embq.score(*rows))
    close(score(spark_frame, depth=1), embq.score(*rows))


def test_spark_hands_rows_over_once_where_they_are_kept(spark, spark_frame, rows, tmp_path):
    from embq.spark import score
    from pyspark.sql.functions import array

    scratch = str(tmp_path)
    result = score(spark_frame, scratch=scratch)
    close(result, embq.score(*rows))
    assert result.to_json() == score(spark_frame, scratch=None).to_json()
    same_intervals(score(spark_frame, intervals=True, scratch=scratch), embq.score(*rows, intervals=True))
    # Other numbers whenever they are computed, but they are computed once.
    changing = spark_frame.select("label", array(fresh(), fresh()).alias("embedding"))
    assert score(changing, scratch=scratch).to_dict()["inputs"][0]["rows"] == len(rows[0])
    with pytest.raises(embq.InputError, match="the data frame changed"):
        score(changing, scratch=None)
    of_one_pass = score(spark_frame, metrics="variance", scratch=scratch)
    assert of_one_pass["variance"] == pytest.approx(embq.score(*rows, metrics="variance")["variance"], rel=1e-12)
    with pytest.raises(embq.InputError, match="zero vector"):
        score(spark_frame.select("label", array(*[zero() for _ in range(2)]).alias("embedding")), scratch=scratch)
    with pytest.raises(embq.InputError, match="none of the metrics has an interval"):
        score(spark_frame, metrics="variance", intervals=True, scratch=scratch)
    assert os.listdir(scratch) == []
    # Where nothing can be written the rows are handed over again.
    file = tmp_path / "file"
    file.write_text("")
    close(score(spark_frame, scratch=str(file / "folder")), embq.score(*rows))
    with pytest.raises(embq.InputError, match="scratch"):
        score(spark_frame, scratch=3)


def zero():
    from pyspark.sql.functions import lit

    return lit(0.0)


def test_kept_rows_are_all_of_a_partition_or_none(tmp_path, monkeypatch):
    from embq._kept_rows import KeptRows

    batch = pa.record_batch({"a": [1.0, 2.0]})
    kept = KeptRows.new(str(tmp_path))
    assert list(kept.keep([batch, batch], 3)) == [batch, batch] and list(kept.rows(3)) == [batch, batch]
    assert list(kept.keep([], 4)) == [] and list(kept.rows(4)) == []
    assert kept.rows(5) is None
    # A pass that ends early.
    passing = kept.keep([batch, batch], 6)
    next(passing)
    passing.close()
    assert kept.rows(6) is None and len(os.listdir(tmp_path / kept.name)) == 2

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert list(kept.keep([batch], 7)) == [batch]
    assert kept.rows(7) is None and len(os.listdir(tmp_path / kept.name)) == 2
    kept.forget(3)
    kept.forget(4)
    assert os.listdir(tmp_path) == []
    list(kept.keep([batch], 0))
    kept.forget_all()
    assert os.listdir(tmp_path) == []


def test_spark_on_one_machine_keeps_rows_among_its_own_files(partitions, rows, tmp_path):
    pytest.importorskip("pyspark")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("there is no Java, so embq.spark is NOT tested")
    parquet.write_table(pa.concat_tables(partitions), tmp_path / "rows.parquet")
    # A process can have one session: that of the other tests has another master.
    script = f"""
import pathlib, pyspark
from pyspark.sql import SparkSession
import embq._kept_rows, embq.spark as adapter
spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").config("spark.local.dir", {str(tmp_path)!r}).getOrCreate()
passes = []
given = adapter._reduced
adapter._reduced = lambda states, depth: passes.append(states._jdf.queryExecution().toString()) or given(states, depth)
result = adapter.score(spark.read.parquet({str(tmp_path / "rows.parquet")!r}))
print(result.silhouette, ["FileScan parquet" in plan for plan in passes], list(pathlib.Path({str(tmp_path)!r}).rglob("embq-*")))
"""
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    silhouette, rest = done.stdout.strip().split(maxsplit=1)
    assert rest == "[True, False] []"
    assert float(silhouette) == pytest.approx(embq.score(*rows).silhouette, rel=1e-12)


def test_spark_ml_vectors_nulls_and_floats(spark, rows, tmp_path):
    from embq.spark import score
    from pyspark.ml.linalg import Vectors, VectorUDT
    from pyspark.sql.types import DoubleType, StructField, StructType

    X, y = rows[0].copy(), np.unique(rows[1], return_inverse=True)[1]
    X[::2, 3:] = 0
    X[7] = 0
    vectors = [Vectors.sparse(8, {at: value for at, value in enumerate(row) if value}) if place % 4 == 0 else Vectors.dense(row) for place, row in enumerate(X)]
    vectors[50] = None
    schema = StructType([StructField("features", VectorUDT()), StructField("prediction", DoubleType()), StructField("id", DoubleType())])
    given = [(vector, None if place == 9 else float(label), float(place)) for place, (vector, label) in enumerate(zip(vectors, y))]
    frame = spark.createDataFrame(given, schema).repartition(5, "id").cache()
    with pytest.raises(embq.InputError, match="^df:prediction, partition [0-4]: row [0-9]+ has no label.*\n.*missing=\"drop\"$"):
        score(frame, "features", "prediction", invalid="drop")
    with pytest.raises(embq.InputError, match="^df:features, partition [0-4]: row [0-9]+( is a zero vector|: the vector is null)"):
        score(frame, "features", "prediction", missing="drop")
    left = np.setdiff1d(np.arange(len(X)), [7, 9, 50])
    result = score(frame, "features", "prediction", invalid="drop", missing="drop")
    whole = embq.score(X[left], y[left])
    close(result, whole)
    excluded = result.to_dict()["excluded"]
    assert (excluded["invalid"], excluded["null_labels"]) == (2, 1)
    found = result.rows.toPandas().rename(columns={"prediction": "label"})
    same_rows(found, whole.rows, left)
    # float32, from a file.
    table = pa.table({"embedding": pa.array(list(rows[0].astype(np.float32))), "label": rows[1]})
    parquet.write_table(table, tmp_path / "rows.parquet")
    result = score(spark.read.parquet(str(tmp_path)))
    assert result.to_dict()["inputs"][0]["dtype"] == "f32"
    whole = embq.score(rows[0].astype(np.float32), rows[1])
    assert result.silhouette == pytest.approx(whole.silhouette, abs=1e-6)


@pytest.mark.parametrize("victim", ["worker", "executor"])
def test_spark_with_a_killed_process(spark_frame, rows, tmp_path, victim):
    from embq.spark import score

    marker = str(tmp_path / "killed")
    # The parent of a worker of Python is a daemon, and that of the daemon is the executor.
    kill_once = killer(marker, 0 if victim == "worker" else 2)

    def dangerous(batches):
        for batch in batches:
            kill_once()
            yield batch

    result = score(spark_frame.mapInArrow(dangerous, spark_frame.schema))
    assert os.path.exists(marker)
    close(result, embq.score(*rows))


def test_spark_refuses_what_cannot_be_scored(spark_frame):
    from embq.spark import score
    from pyspark.sql.functions import array

    for message, call in {
        "euclidean distances compare all pairs": lambda: score(spark_frame, metric="euclidean"),
        "there is no column 'key'": lambda: score(spark_frame, columns=["key"]),
        "names of columns": lambda: score(spark_frame, ["f0", "f1"]),
        "the data frame changed between the two passes: 684 rows, not all": lambda: score(
            spark_frame.select("label", array(fresh(), fresh()).alias("embedding"))
        ),
        "needs at least 2 classes, found 0 in 0 rows": lambda: score(spark_frame.where("id < 0")),
    }.items():
        with pytest.raises(embq.InputError, match=message):
            call()


def fresh():
    """Other numbers whenever they are computed."""
    from pyspark.sql.functions import udf

    @udf("double")
    def number():
        return os.urandom(1)[0] + 1.0

    return number.asNondeterministic()()


# Dask


@pytest.fixture(scope="session")
def dask_client():
    distributed = pytest.importorskip("distributed")
    pytest.importorskip("dask.dataframe")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            yield client


def dask_frame(partitions, pandas_type=None, convert=False):
    import dask
    import dask.dataframe
    from dask import delayed

    def of_arrow(table):
        return table.to_pandas(types_mapper=pandas_type).set_index("id", drop=False).rename_axis(None)

    frames = [of_arrow(table) for table in partitions]
    # Dask would make text of arrays.
    with dask.config.set({"dataframe.convert-string": convert}):
        return dask.dataframe.from_delayed([delayed(frame) for frame in frames], meta=frames[0].iloc[:0], verify_meta=False)


@pytest.mark.parametrize("kind", ["numpy", "arrow"])
@pytest.mark.parametrize("metric", ["cosine", "sqeuclidean"])
def test_dask_gives_the_result_of_the_whole(dask_client, partitions, rows, metric, kind):
    from embq.dask import score

    import pandas

    frame = dask_frame(partitions, pandas.ArrowDtype if kind == "arrow" else None)
    whole = embq.score(*rows, metric=metric, matrix=True)
    result = score(frame, metric=metric, matrix=True)
    close(result, whole)
    np.testing.assert_allclose(result.matrix, whole.matrix, rtol=1e-12)
    assert list(result.rows.columns) == ["id", "label", *COLUMNS, "nearest_other"]
    assert score(frame, metric=metric).to_json() == result.to_json()
    same_intervals(score(frame, metric=metric, intervals=True), embq.score(*rows, metric=metric, intervals=True))
    found = result.rows.compute()
    same_rows(found, whole.rows)
    assert (found.dtypes == result.rows.dtypes).all() and found.index.tolist() == found["id"].tolist()


def test_dask_with_files_threads_and_categories(partitions, rows, tmp_path):
    dataframe = pytest.importorskip("dask.dataframe")
    import dask
    from embq.dask import score

    for number, table in enumerate(partitions):
        parquet.write_table(table, tmp_path / f"{number}.parquet")
    frame = dataframe.read_parquet(str(tmp_path))
    with dask.config.set(scheduler="threads"):
        close(score(frame), embq.score(*rows))
        frame["label"] = frame["label"].astype("category")
        result = score(frame, columns="id")
        close(result, embq.score(*rows))
        assert result.rows.compute()["nearest_other"].tolist() == embq.score(*rows).rows["nearest_other"].tolist()


def test_dask_drops_null_rows(dask_client, partitions, rows):
    from embq.dask import score

    X, y = rows
    first = partitions[0].to_pandas()
    first.at[3, "embedding"] = None
    first.at[5, "label"] = None
    tables = [pa.Table.from_pandas(first, preserve_index=False), *partitions[1:]]
    frame = dask_frame(tables)
    with pytest.raises(embq.InputError, match="df:label, partition 0: row 5 has no label"):
        score(frame)
    with pytest.raises(embq.InputError, match="df:embedding, partition 0: row 3: the vector is null"):
        score(frame, missing="drop")
    left = np.setdiff1d(np.arange(len(X)), [3, 5])
    result = score(frame, invalid="drop", missing="drop")
    close(result, embq.score(X[left], y[left]))
    same_rows(result.rows.compute(), embq.score(X[left], y[left]).rows, left)


def test_dask_with_a_killed_worker(dask_client, partitions, rows, tmp_path):
    from embq.dask import score

    marker = str(tmp_path / "killed")

    kill_once = killer(marker)

    def dangerous(frame):
        if len(frame):
            kill_once()
        return frame

    frame = dask_frame(partitions)
    result = score(frame.map_partitions(dangerous, meta=frame._meta))
    assert os.path.exists(marker)
    close(result, embq.score(*rows))


def test_dask_refuses_what_cannot_be_scored(dask_client, partitions):
    from embq.dask import score

    frame = dask_frame(partitions)

    def anew(partition):
        return partition.assign(embedding=list(np.random.default_rng().normal(size=(len(partition), 4))))

    for message, call in {
        "there is no column 'vector'": lambda: score(frame, "vector"),
        'Dask made text of it\n  tip: .*convert-string': lambda: score(dask_frame(partitions, convert=True)),
        "'silhouette' is also the name of a score": lambda: score(frame.assign(silhouette=1.0)).rows,
        "recall searches all rows": lambda: score(frame, metrics="recall"),
        "the data frame changed between the two passes": lambda: score(frame.map_partitions(anew, meta=frame._meta)),
    }.items():
        with pytest.raises(embq.InputError, match=message):
            call()


# Ray


@pytest.fixture(scope="session")
def ray():
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield ray
    ray.shutdown()


@pytest.mark.parametrize("metric", ["cosine", "sqeuclidean"])
def test_ray_gives_the_result_of_the_whole(ray, partitions, rows, metric):
    from embq.ray import score

    whole = embq.score(*rows, metric=metric, matrix=True)
    data = ray.data.from_arrow(partitions)
    result = score(data, metric=metric, matrix=True)
    close(result, whole)
    np.testing.assert_allclose(result.matrix, whole.matrix, rtol=1e-12)
    same_intervals(score(data, metric=metric, intervals=True), embq.score(*rows, metric=metric, intervals=True))
    same_rows(result.rows.to_pandas(), whole.rows)
    assert result.rows.columns() == ["id", "label", *COLUMNS, "nearest_other"]


def test_ray_with_tensors_and_a_killed_worker(ray, rows, tmp_path):
    from embq.ray import score

    X, y = rows
    marker = str(tmp_path / "killed")

    kill_once = killer(marker)

    def dangerous(batch):
        kill_once()
        return batch

    data = ray.data.from_numpy(X).zip(ray.data.from_items([{"label": str(label)} for label in y])).repartition(4)
    result = score(data.map_batches(dangerous), "data")
    assert os.path.exists(marker)
    close(result, embq.score(X, y))


def test_ray_drops_null_rows(ray, partitions, rows):
    from embq.ray import score

    X, y = rows
    vectors = [None if row in (3, 450) else vector for row, vector in enumerate(X)]
    table = pa.table({"id": np.arange(len(X)), "embedding": pa.array(vectors, pa.list_(pa.float64())), "label": y})
    data = ray.data.from_arrow([table.slice(0, 300), table.slice(300)])
    with pytest.raises(embq.InputError, match='^df:embedding, a block: row [0-9]+: the vector is null.*\n.*invalid="drop"$'):
        score(data)
    left = np.setdiff1d(np.arange(len(X)), [3, 450])
    result = score(data, invalid="drop")
    close(result, embq.score(X[left], y[left]))
    same_rows(result.rows.to_pandas(), embq.score(X[left], y[left]).rows, left)


# All


def test_engines_are_imported_where_they_are_used():
    code = "import sys, embq.spark, embq.dask, embq.ray, embq.partial; assert not {'pyspark', 'dask', 'ray', 'pyarrow', 'pandas'} & set(sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
