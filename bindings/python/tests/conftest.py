"""Shared fixtures. The tests run against the installed package, never the source beside them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import embq
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]

if Path(embq.__file__).resolve().is_relative_to(ROOT / "bindings"):
    raise RuntimeError(f"{embq.__file__} is the source: install the wheel and run the tests with --import-mode=importlib")


@pytest.fixture(scope="session")
def digits():
    """1,797 x 64 float32 embeddings and their labels."""
    folder = ROOT / "fixtures" / "digits"
    return np.load(folder / "embeddings.npy"), np.load(folder / "labels.npy")


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def program():
    """Runs the packaged program and returns the finished process."""
    beside = Path(sys.executable).with_name("embq")
    path = str(beside) if beside.exists() else shutil.which("embq")

    def run(*arguments, **options):
        options = {"capture_output": True, "text": True, "cwd": ROOT, **options}
        return subprocess.run([path, *map(str, arguments)], **options)

    run.path = path
    return run


@pytest.fixture(scope="session")
def program_json(program):
    """The JSON output of the program."""

    def run(*arguments):
        finished = program(*arguments, "--format", "json", "--no-timing", "--no-progress")
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)

    return run


def without_names(result):
    """A result without what differs between arrays and files: names, times, and how columns were chosen."""
    result = {key: value for key, value in result.items() if key not in ("timing", "inputs", "labels", "settings")}
    return json.loads(json.dumps(result))


@pytest.fixture(scope="session")
def same_numbers():
    def check(result, expected):
        assert without_names(result) == without_names(expected)
        for key in ("rows", "dimensions", "dtype"):
            assert result["inputs"][0][key] == expected["inputs"][0][key]
        for key in ("classes", "singletons", "blake3", "label_type"):
            assert result["labels"][key] == expected["labels"][key]
        for key in ("distance", "temperature", "precision", "seed", "softmin", "softmax"):
            assert result["settings"][key] == expected["settings"][key]

    return check


def pytest_report_header():
    missing = []
    for module in ("torch", "pandas", "polars", "pyarrow", "sklearn", "scipy", "matplotlib", "tqdm", "pyspark", "dask", "ray"):
        try:
            __import__(module)
        except ImportError:
            missing.append(module)
    lines = [f"embq {embq.__version__} from {os.path.dirname(embq.__file__)}"]
    return lines + [f"SKIPPED: {module} is not installed, so what needs it is NOT tested" for module in missing]
