"""Every example in the documentation runs and prints what it shows."""

import doctest
import inspect
import re

import embq
import embq.partial
import pytest

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


def run(text, name, names=None):
    test = doctest.DocTestParser().get_doctest(text, names or {}, name, name, 0)
    lines = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(test, out=lines.append)
    assert not runner.failures, "".join(lines)
    return runner.tries


def check_function(function):
    assert run(function.__doc__, function.__name__) >= 2, f"{function.__name__} has no example"
    sections = re.findall(r"^(\w[\w ]*)\n-+$", inspect.getdoc(function), re.M)
    assert sections[:2] == ["Parameters", "Returns"] and "Raises" in sections and "Examples" in sections


@pytest.mark.parametrize("name", ["__doc__", *embq.__all__])
def test_docstrings(name):
    if name == "__doc__":
        assert run(embq.__doc__, "embq") >= 4
        return
    value = getattr(embq, name)
    if inspect.isfunction(value):
        check_function(value)
    elif inspect.isclass(value):
        run(value.__doc__ or "", name)
        public = [member for key, member in vars(value).items() if not key.startswith("_")]
        assert all(member.__doc__ for member in public if callable(member) or isinstance(member, property))


PARTIAL = [getattr(embq.partial, name) for name in embq.partial.__all__]


@pytest.mark.parametrize("function", PARTIAL)
def test_docstrings_of_partial(function):
    assert run(embq.partial.__doc__, "embq.partial") >= 5
    check_function(function)


FUNCTIONS = [value for name in embq.__all__ if inspect.isfunction(value := getattr(embq, name))]


@pytest.mark.parametrize("function", [*FUNCTIONS, *PARTIAL])
def test_every_parameter_is_documented(function):
    documented = set()
    parameters = inspect.getdoc(function).split("Parameters\n")[1].split("\nReturns\n")[0]
    for line in parameters.splitlines():
        if line and not line.startswith((" ", "-")):
            documented.update(word.strip(" *") for word in line.split(" : ")[0].split(","))
    assert documented == set(inspect.signature(function).parameters)


def test_the_page(root):
    pytest.importorskip("sklearn")
    pytest.importorskip("pandas")
    text = (root / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(blocks) >= 9 and all(">>>" in block for block in blocks)
    assert run("\n".join(blocks), "docs/python.md") >= 20
