"""The program that comes with the package."""

import subprocess
import sys
from pathlib import Path

import embq
import pytest


def test_version(program):
    finished = program("--version")
    assert (finished.returncode, finished.stdout) == (0, f"embq {embq.__version__}\n")
    module = subprocess.run([sys.executable, "-m", "embq", "--version"], capture_output=True, text=True)
    assert module.stdout == finished.stdout


def test_the_first_command_of_the_readme(program):
    finished = program("score", "fixtures/digits/embeddings.npy", "-l", "fixtures/digits/labels.npy")
    assert finished.returncode == 0 and "silhouette        0.2665" in finished.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="the section is looked for as ELF files have it")
def test_the_extension_carries_no_table_of_symbols():
    # It would be a third of the file.
    extension = Path(embq._embq.__file__).read_bytes()
    assert b"\0.shstrtab\0" in extension and b"\0.symtab\0" not in extension


def test_exit_codes(program, tmp_path):
    score = ["score", "fixtures/digits/embeddings.npy", "-l", "fixtures/digits/labels.npy"]
    assert program(*score, "--fail-if", "silhouette < 0.9").returncode == 1
    finished = program(*score, "--fail-if", "silhuette < 0.9")
    assert finished.returncode == 2 and "silhouette" in finished.stderr
    assert program("score", "nowhere.npy", "-l", "labels.npy").returncode == 2
    assert program("--help").returncode == 0
    assert program().returncode == 2
    assert "Traceback" not in finished.stderr


def test_a_closed_pipe_is_no_error(program):
    finished = subprocess.run(f"{program.path} metrics --format json | head -c 10", shell=True, capture_output=True, text=True)
    assert finished.stderr == ""


def test_a_broken_file_is_no_panic(program, root):
    for path in sorted((root / "fixtures" / "crashes").iterdir())[:20]:
        finished = program("score", path, "-l", path)
        assert finished.returncode == 2 and "panicked" not in finished.stderr, path


def test_a_damaged_file_ends_in_a_message_from_python_too(root):
    for path in sorted((root / "fixtures" / "crashes").iterdir()):
        code = "import embq, sys\ntry:\n    embq.score(sys.argv[1], 'label')\nexcept embq.InputError as error:\n    sys.exit(f'error: {error}')"
        finished = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
        assert finished.returncode in (1, 2) and finished.stderr.startswith("error: "), (path, finished.stderr)


@pytest.mark.parametrize("command", ["score", "compare", "report", "suspects", "grad", "inspect", "metrics"])
def test_every_command_is_there(program, command):
    assert program(command, "--help").returncode == 0


def test_starting_needs_no_numpy():
    code = "import sys; import embq.__main__; print([name for name in ('numpy', 'typing', 'json') if name in sys.modules])"
    finished = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(__import__('pathlib').Path(embq.__file__).parents[1])!r}); " + code], capture_output=True, text=True)
    assert finished.stdout.strip() == "[]", finished.stdout + finished.stderr
