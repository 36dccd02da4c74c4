"""Arrays of every kind give the same numbers, without needless copies."""

import subprocess
import sys
import textwrap

import embq
import numpy as np
import pytest


@pytest.fixture(scope="module")
def metrics(digits):
    X, y = digits
    return embq.score(X, y).metrics


def layouts(X):
    yield "Fortran order", np.asfortranarray(X)
    yield "every second column", np.repeat(X, 2, axis=1)[:, ::2]
    yield "every second row", np.repeat(X, 2, axis=0)[::2]
    yield "backwards", np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]
    yield "part of a wider array", np.hstack([X, X])[:, : X.shape[1]]
    yield "big-endian", X.astype(">f4")
    yield "read-only", np.frombuffer(X.tobytes(), dtype=np.float32).reshape(X.shape)
    yield "lists", X.tolist()


def test_layouts(digits, metrics):
    X, y = digits
    for name, array in layouts(X):
        found = embq.score(array, y, precision="float32").metrics
        assert found == metrics, name


def test_unaligned(digits, metrics):
    X, y = digits
    raw = np.zeros(X.nbytes + 1, dtype=np.uint8)
    raw[1:] = X.view(np.uint8).ravel()
    array = raw[1:].view(np.float32).reshape(X.shape)
    assert not array.flags.aligned
    assert embq.score(array, y).metrics == metrics


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "g"])
def test_element_types_give_what_the_program_reads(digits, program_json, tmp_path, dtype):
    X, y = digits
    array = np.round(X * (1 if X.max() > 2 else 16)).astype(dtype)
    found = embq.score(array, y, metrics="silhouette").metrics
    if dtype == "g":
        array = array.astype(np.float64)
    np.save(tmp_path / "x.npy", array)
    np.save(tmp_path / "l.npy", y)
    assert found == program_json("score", tmp_path / "x.npy", "-l", tmp_path / "l.npy", "--metrics", "silhouette")["metrics"]


def test_bfloat16(digits):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    X, y = digits
    short = X.astype(ml_dtypes.bfloat16)
    result = embq.score(short, y)
    assert result.metrics == embq.score(short.astype(np.float32), y).metrics
    assert result.to_dict()["inputs"][0]["dtype"] == "bf16"


def test_masked_values_are_invalid(digits):
    X, y = digits
    masked = np.ma.masked_array(X, mask=np.zeros(X.shape, dtype=bool))
    masked.mask[7, 3] = True
    with pytest.raises(embq.InputError, match="NaN in row 7, column 3"):
        embq.score(masked, y)
    assert len(embq.score(masked, y, invalid="drop").rows) == len(y) - 1


def test_torch(digits, metrics):
    torch = pytest.importorskip("torch")
    X, y = digits
    tensor = torch.from_numpy(X.copy()).requires_grad_()
    assert embq.score(tensor, torch.from_numpy(y.astype(np.int64))).metrics == metrics
    assert embq.score(tensor.t().contiguous().t(), y).metrics == metrics
    short = tensor.detach().to(torch.bfloat16)
    assert embq.score(short, y).metrics == embq.score(short.float(), y).metrics


def test_pandas(digits, metrics):
    pandas = pytest.importorskip("pandas")
    X, y = digits
    table = pandas.DataFrame(X)
    assert embq.score(table, pandas.Series(y)).metrics == metrics
    assert embq.score(table.astype("Float32"), y, precision="float32").metrics == metrics
    vectors = pandas.DataFrame({"embedding": list(X)})
    assert embq.score(vectors["embedding"], y).metrics == metrics
    assert embq.score(vectors, y).metrics == metrics
    with pytest.raises(embq.InputError, match="the column 'name'.*\n.*select_dtypes"):
        embq.score(table.assign(name="a"), y)


def test_polars(digits, metrics):
    polars = pytest.importorskip("polars")
    X, y = digits
    column = polars.Series("embedding", X, dtype=polars.Array(polars.Float32, 64))
    for rows in (column, column.to_frame(), column.cast(polars.List(polars.Float32)), polars.DataFrame(X)):
        assert embq.score(rows, polars.Series(y)).metrics == metrics
    ragged = polars.Series([[1.0, 2.0], [3.0], [1.0, 1.0]])
    with pytest.raises(embq.InputError, match="row 1 has 1 values, and row 0 has 2"):
        embq.score(ragged, [0, 0, 1])
    with pytest.raises(embq.InputError, match="row 1 is null"):
        embq.score(polars.Series([[1.0, 2.0], None, [1.0, 1.0]], dtype=polars.Array(polars.Float64, 2)), [0, 0, 1])


def test_arrow(digits, metrics):
    pa = pytest.importorskip("pyarrow")
    X, y = digits
    column = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 64)
    chunked = pa.chunked_array([column[:100], column[100:]])
    lists = column.cast(pa.list_(pa.float32()))
    for rows in (column, chunked, lists, pa.table({"e": column})):
        assert embq.score(rows, pa.array(y)).metrics == metrics
    assert embq.score(column[5:205], y[5:205]).metrics == embq.score(X[5:205], y[5:205]).metrics


def test_sparse(digits):
    sparse = pytest.importorskip("scipy.sparse")
    X, y = digits
    for container in (sparse.csr_array, sparse.csc_matrix, sparse.coo_array):
        result = embq.score(container(X), y, metric="euclidean", metrics="all")
        assert result.metrics == embq.score(X, y, metric="euclidean", metrics="all").metrics


def test_objects_that_know_dlpack(digits, metrics):
    class Holder:
        def __init__(self, array):
            self.array = array

        def __array__(self, dtype=None, copy=None):
            return self.array

    X, y = digits
    assert embq.score(Holder(X), Holder(y)).metrics == metrics


SCRIPT = """
import resource, sys, threading, time
import numpy as np
import embq
n, d = 200_000, 256
kind = sys.argv[1]
rng = np.random.default_rng(0)
X = rng.standard_normal((n, d), dtype=np.float32)
y = rng.integers(0, 100, n)
if kind == "torch":
    import torch
    X = torch.from_numpy(X)
elif kind == "arrow":
    import pyarrow
    X = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(X.ravel()), d)
elif kind == "polars":
    import polars
    X = polars.Series(X, dtype=polars.Array(polars.Float32, d))
elif kind == "float64":
    X = X.astype(np.float64)
elif kind == "float16":
    X = X.astype(np.float16)
elif kind == "fortran":
    X = np.asfortranarray(X)
elif kind == "strided":
    X = np.hstack([X, X])[:, :d]
embq.score(X[:1000], y[:1000])
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
before, peak, over = resident(), 0, False
def watch():
    global peak
    while not over:
        peak = max(peak, resident())
        time.sleep(0.002)
thread = threading.Thread(target=watch)
thread.start()
embq.score(X, y)
over = True
thread.join()
print((peak - before) / 1e6)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", ["numpy", "float64", "torch", "arrow", "polars", "float16", "fortran", "strided"])
def test_nothing_is_copied(kind):
    """200,000 x 256 float32 are 205 MB; row scores and buffers take another 20 to 60 MB."""
    if kind in ("torch", "polars", "arrow"):
        pytest.importorskip({"arrow": "pyarrow"}.get(kind, kind))
    finished = subprocess.run([sys.executable, "-c", textwrap.dedent(SCRIPT), kind], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert float(finished.stdout) < 80, f"{finished.stdout.strip()} MB beside the array"
