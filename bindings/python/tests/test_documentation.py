"""Every example in the documentation runs and prints what it shows."""

import doctest
import inspect
import re

import embq
import pytest

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


def run(text, name, names=None):
    test = doctest.DocTestParser().get_doctest(text, names or {}, name, name, 0)
    lines = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(test, out=lines.append)
    assert not runner.failures, "".join(lines)
    return runner.tries


@pytest.mark.parametrize("name", ["__doc__", *embq.__all__])
def test_docstrings(name):
    if name == "__doc__":
        assert run(embq.__doc__, "embq") >= 4
        return
    value = getattr(embq, name)
    if inspect.isfunction(value):
        assert run(value.__doc__, name) >= 2, f"{name} has no example"
        sections = re.findall(r"^(\w[\w ]*)\n-+$", inspect.getdoc(value), re.M)
        assert sections[:2] == ["Parameters", "Returns"] and "Raises" in sections and "Examples" in sections
    elif inspect.isclass(value):
        run(value.__doc__ or "", name)
        public = [member for key, member in vars(value).items() if not key.startswith("_")]
        assert all(member.__doc__ for member in public if callable(member) or isinstance(member, property))


@pytest.mark.parametrize("name", [name for name in embq.__all__ if inspect.isfunction(getattr(embq, name))])
def test_every_parameter_is_documented(name):
    function = getattr(embq, name)
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
