"""The package is typed: mypy and pyright accept it and its users' code in strict mode."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import embq
import pytest

USE = '''
from typing import assert_type

import embq
import numpy as np
from embq import partial
from numpy.typing import NDArray

X = np.eye(4)
r = embq.score(X, ["a", "a", "b", "b"], metric="cosine", k=[1, 2], n_jobs=2, progress=False)
assert_type(r, embq.Result)
assert_type(r["silhouette"], float | None)
assert_type(r.metrics, dict[str, float | None])
assert_type(r.intervals, dict[str, tuple[float, float]])
assert_type(r.classes, embq.Table)
assert_type(r.to_json("r.json"), str)
assert_type(r.matrix, NDArray[np.float64])
c = embq.compare([X, X], [0, 0, 1, 1], names=["main", "new"])
assert_type(c["new"]["silhouette"].verdict, str | None)
d = embq.drift(X, X + 1, [0, 0, 1, 1], [0, 0, 1, 1], metrics=["kid", "psi"], subset=None)
assert_type(d, embq.Drift)
assert_type(d["kid"], float | None)
assert_type(d.verdict, str | None)
assert_type(d.classes, embq.Table)
s = embq.suspects(X, [0, 0, 1, 1])
assert_type(s, embq.Suspects)
loss, gradient = embq.silhouette_loss(X, [0, 0, 1, 1])
m = partial.merge([partial.moments((X, [0, 0, 1, 1]), metric="sqeuclidean")])
assert_type(m, bytes)
assert_type(partial.scores((X, [0, 0, 1, 1]), m), bytes)
assert_type(partial.scores((X, [0, 0, 1, 1]), m, rows=True), tuple[bytes, embq.Table])
assert_type(partial.influence((X, [0, 0, 1, 1]), m, partial.scores((X, [0, 0, 1, 1]), m, intervals=True)), bytes)
assert_type(partial.finish([m], m, m, matrix=True), embq.Result)
assert_type(loss, float)
assert_type(embq.silhouette_samples(X, [0, 0, 1, 1]), NDArray[np.float64])
assert_type(embq.silhouette_score(X, [0, 0, 1, 1]), float)
assert_type(embq.davies_bouldin_score(X, [0, 0, 1, 1]), float)
try:
    embq.score("emb.parquet", "label")
except embq.InputError as error:
    print(str(error))
'''

WRONG = '''
import embq

embq.score([[1.0]], [1], metrik="cosine")
embq.score([[1.0]], [1], invalid="ignore")
embq.score([[1.0]], [1]).classes.to_excel()
'''

PACKAGE = Path(embq.__file__).parent
# Modules for frameworks cannot be checked without these.
FRAMEWORKS = ("torch", "lightning", "transformers", "spark", "dask", "ray")
OWN = sorted(str(path) for path in PACKAGE.glob("*.py*") if path.stem not in FRAMEWORKS and path.suffix in (".py", ".pyi"))


def mypy(*arguments, folder):
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), *arguments], capture_output=True, text=True, cwd=folder
    )


def test_mypy(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "use.py").write_text(USE)
    (tmp_path / "wrong.py").write_text(WRONG)
    finished = mypy("use.py", folder=tmp_path)
    assert finished.returncode == 0, finished.stdout
    finished = mypy("wrong.py", folder=tmp_path)
    assert "metrik" in finished.stdout and "ignore" in finished.stdout, finished.stdout
    finished = mypy("--ignore-missing-imports", "-p", "embq", "--exclude", "|".join(FRAMEWORKS), folder=tmp_path)
    own = [line for line in finished.stdout.splitlines() if ": error:" in line and not any(f"{name}.py" in line for name in FRAMEWORKS)]
    assert not own, "\n".join(own)


def test_pyright(tmp_path):
    pytest.importorskip("pyright")
    (tmp_path / "use.py").write_text(USE)
    config = {"strict": ["**"], "include": ["use.py", *OWN], "reportMissingModuleSource": "none", "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "pyright", "--project", str(tmp_path), "--pythonpath", sys.executable, "--outputjson"]
    finished = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    try:
        found = json.loads(finished.stdout)
    except ValueError:
        if shutil.which("node") is None:
            pytest.skip(f"pyright has no node: {finished.stderr[-200:]}")
        raise
    errors = [f"{one['file']}:{one['range']['start']['line'] + 1}: {one['message']}" for one in found["generalDiagnostics"] if one["severity"] == "error"]
    assert not errors, "\n".join(errors)
