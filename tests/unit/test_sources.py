"""What the package's own source must not do: run code that came as data, or start a shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "thalbids"
RUNS_CODE = {"pickle.load", "pickle.loads", "torch.load", "read_pickle", "yaml.load", "joblib.load", "eval", "exec"}
RUNS_CODE |= {
    "os.system",
    "os.popen",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "shelve.open",
    "marshal.loads",
}
UNPACKS = {"extractall", "unpack_archive", "tarfile.open", "zipfile.ZipFile"}
ALLOWED = {("engine/workers.py", "pickle.loads")}  # a step, sent by the driver to its worker over TLS
ARCHIVES = {
    ("reports/group/manuscript.py", "zipfile.ZipFile"),  # the document that was just made, in memory
    ("inference/checkpoint.py", "zipfile.ZipFile"),  # weights: read in memory, never larger than the file itself
}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Every call of the package: file, what is called, and the call."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path.relative_to(PACKAGE).as_posix(), ast.unparse(node.func), node


@pytest.mark.parametrize("what", [RUNS_CODE, UNPACKS])
def test_nothing_that_came_as_data_is_run_or_unpacked(what: set[str]) -> None:
    found = {
        (file, called)
        for file, called, _ in calls()
        if any(called == name or called.endswith(f".{name}") for name in what)
    }
    assert found == (ALLOWED if what is RUNS_CODE else ARCHIVES)


def test_no_shell_is_started_and_no_array_is_unpickled() -> None:
    options = [
        (file, called, word.arg, ast.unparse(word.value)) for file, called, node in calls() for word in node.keywords
    ]
    assert not [option for option in options if option[2] == "shell"]
    loads = [file for file, called, _ in calls() if called == "np.load"]
    safe = [option[0] for option in options if option[2:] == ("allow_pickle", "False") and option[1] == "np.load"]
    assert loads == safe and loads
