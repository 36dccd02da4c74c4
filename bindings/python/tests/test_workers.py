"""Threads, forks and interrupts."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import embq
import numpy as np
import pytest

unix = pytest.mark.skipif(os.name != "posix", reason="needs fork and signals")


WORKERS = """
import multiprocessing, sys
import numpy as np
import embq

def silhouette(seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 5, 2000)
    return embq.score(rng.normal(size=(2000, 16)) + np.eye(16)[y], y, metric="euclidean").silhouette

def nested(queue):
    silhouette(1)
    grandchild = multiprocessing.get_context("fork").Process(target=lambda: queue.put(silhouette(2)))
    grandchild.start()
    grandchild.join()

if __name__ == "__main__":
    method = sys.argv[1]
    expected = [silhouette(seed) for seed in range(4)]
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        assert pool.map_async(silhouette, range(4)).get(timeout=60) == expected
    if method == "fork":
        queue = context.Queue()
        process = context.Process(target=nested, args=(queue,))
        process.start()
        assert queue.get(timeout=30) == expected[2]
        process.join(10)
        assert process.exitcode == 0
    assert [silhouette(seed) for seed in range(4)] == expected
"""


@unix
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_give_the_same(method, tmp_path):
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)
    finished = subprocess.run([sys.executable, script, method], capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr


@unix
def test_results_cross_processes(digits):
    X, y = digits
    with multiprocessing.get_context("fork").Pool(1) as pool:
        result = pool.apply_async(embq.score, (X, y)).get(timeout=60)
    assert result.metrics == embq.score(X, y).metrics
    assert np.array_equal(result.rows["silhouette"], embq.score(X, y).rows["silhouette"])


@unix
def test_files_in_a_fork(tmp_path):
    """Table readers have their own threads."""
    polars = pytest.importorskip("polars")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 4)).astype(np.float32), rng.integers(0, 3, 500)
    path = str(tmp_path / "emb.parquet")
    polars.DataFrame({"label": y, "e": polars.Series(X, dtype=polars.Array(polars.Float32, 4))}).write_parquet(path)
    script = f"""
        import multiprocessing, embq
        def work(_):
            return embq.score({path!r}, "label").silhouette
        expected = work(0)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map_async(work, range(4)).get(timeout=60) == [expected] * 4
    """
    finished = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr


def test_threads_of_python(digits):
    X, y = digits
    expected, found = embq.score(X, y).silhouette, []
    threads = [threading.Thread(target=lambda: found.append(embq.score(X, y).silhouette)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 8


def test_other_threads_go_on():
    """The interpreter lock is released while embq runs."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(6000, 64)), rng.integers(0, 10, 6000)
    ticks, over = [], threading.Event()

    def tick():
        while not over.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.002)

    thread = threading.Thread(target=tick)
    thread.start()
    started = time.perf_counter()
    embq.score(X, y, metric="manhattan", metrics=["silhouette", "dunn"], n_jobs=1)
    took = time.perf_counter() - started
    over.set()
    thread.join()
    during = [tick for tick in ticks if tick > started]
    assert len(during) > took / 0.05, f"{len(during)} ticks in {took:.2f} s"


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env={**os.environ, **environment}
    )


def test_embq_threads():
    code = """
        import os, time, embq, numpy as np
        X = np.random.default_rng(0).normal(size=(200, 4))
        embq.score(X, np.arange(200) % 3{more})
        time.sleep(0.3)
        print(sum(1 for task in os.listdir("/proc/self/task") if open(f"/proc/self/task/{{task}}/comm").read().startswith("embq-")))
    """
    if sys.platform.startswith("linux"):
        assert run(code.format(more=""), EMBQ_THREADS="3").stdout.strip() == "3"
        assert run(code.format(more=", n_jobs=2"), EMBQ_THREADS="3").stdout.strip() == "2"
        assert run(code.format(more=", n_jobs=-1")).stdout.strip() == str(len(os.sched_getaffinity(0)))
    assert "EMBQ_THREADS is a number of threads" in run(code.format(more=""), EMBQ_THREADS="many").stderr


@unix
def test_control_c_ends_the_work():
    """KeyboardInterrupt ends minutes of work within a second, and the process can run more."""
    code = """
        import os, signal, sys, threading, time
        import numpy as np, embq
        # The signal is ignored if tests run in the background.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(60_000, 256)), rng.integers(0, 10, 60_000)
        sent = []
        def interrupt():
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)
        threading.Timer(1.0, interrupt).start()
        try:
            embq.score(X, y, metric="{metric}", metrics=["silhouette", "dunn"])
        except KeyboardInterrupt:
            waited = time.perf_counter() - sent[0]
        else:
            sys.exit("the work was over too soon")
        assert embq.score(X[:500], y[:500]).silhouette is not None
        print(waited)
    """
    for metric in ("euclidean", "manhattan"):
        finished = run(code.replace("{metric}", metric))
        assert finished.returncode == 0, finished.stderr
        assert float(finished.stdout) < 1.0, f"{metric}: {finished.stdout.strip()} s"


@unix
def test_the_program_ends_by_its_signal(program, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60_000, 256)))
    np.save(tmp_path / "y.npy", np.arange(60_000) % 10)
    command = [program.path, "score", tmp_path / "x.npy", "-l", tmp_path / "y.npy", "--metrics", "dunn", "-o", tmp_path / "r.json"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "y.npy"]


def test_progress(capsys):
    pytest.importorskip("tqdm")
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(12_000, 128)), rng.integers(0, 10, 12_000)
    embq.score(X, y, metric="euclidean", metrics=["silhouette", "dunn"], progress=True, n_jobs=1)
    assert "%|" in capsys.readouterr().err
    embq.score(X[:6000], y[:6000], metric="euclidean", metrics=["silhouette", "dunn"], n_jobs=1)
    embq.score(X[:6000], y[:6000], metric="euclidean", metrics=["silhouette", "dunn"], progress=False)
    assert capsys.readouterr().err == ""
