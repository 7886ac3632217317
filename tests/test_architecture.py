"""Which package may import which, and what no file of the product may hold."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from parsed import parsed

ROOT = Path(__file__).parents[1]

_DATA_PLANE = {"schemas", "metering", "kit"}
#: Package → the packages of ours it may import, besides itself.
MAY_IMPORT: dict[str, set[str]] = {
    "schemas": set(),
    "metering": {"schemas"},
    "kit": {"schemas"},
    "gateway": _DATA_PLANE,
    "runner": _DATA_PLANE,
    "streams": _DATA_PLANE,
    "ingestion": _DATA_PLANE,
    "console_api": _DATA_PLANE,
    "console": {"kit", "schemas"},
    "stack": _DATA_PLANE | {"gateway", "runner", "streams", "ingestion", "console_api", "console"},
}
MAX_LINES = 400
_CODE = {".py", ".lua", ".sql", ".js", ".css", ".sh"}

#: Built from pieces, so that this file does not find itself.
_DOT = r"\."
_HOSTS = re.compile(
    "|".join(
        _DOT.join(parts)
        for parts in (
            ("pypi", "org"),
            ("files", "pythonhosted", "org"),
            ("registry", "npmjs", "org"),
            ("registry", "yarnpkg", "com"),
            ("repo1?", "maven", "(?:apache" + _DOT + ")?org"),
            ("proxy", "golang", "org"),
            ("crates", "io"),
            ("index", "docker", "io"),
            ("(?:artifactory|nexus|devpi)", r"[\w-]+"),
        )
    )
    + r"|--(?:extra-)?index-url|--find-links"
)
_ABSOLUTE = re.compile(r"(?<![\w.}/<-])/(?:work|root|home|Users)/[\w.]")


def imported(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the top-level package of each import, wherever it stands, `import_module` too."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, package if node.level else (node.module or "").split(".")[0]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            first = node.args[0] if node.args else None
            if name in ("import_module", "__import__") and isinstance(first, ast.Constant):
                yield node.lineno, str(first.value).split(".")[0]


def wrong_arrows(source: str, package: str) -> list[str]:
    """Return the imports that a file of `package` may not have."""
    forbidden = MAY_IMPORT.keys() - MAY_IMPORT[package] - {package}
    outside = {"tests", "e2e"}
    return [f"{line}: {name}" for line, name in imported(source, package) if name in forbidden | outside]


def floats(source: str) -> list[int]:
    """Return the lines on which code makes, names or writes a float."""
    return [
        node.lineno
        for node in ast.walk(parsed(source))
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Name) and node.id == "float")
    ]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = [ROOT / line for line in listed.splitlines()]
    return [path for path in found if path.is_file() and path != Path(__file__)]


def texts() -> Iterator[tuple[str, str]]:
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data:
            yield str(path.relative_to(ROOT)), data.decode()


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_arrows_point_one_way(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{arrow}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for arrow in wrong_arrows(path.read_text(), package)
    ]

    assert found == []


def test_every_package_of_ours_has_its_arrows_here() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}

    assert packages - {"tests", "e2e"} == set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("package", "planted"),
    [
        ("schemas", "import kit"),
        ("metering", "from kit.clock import now_ms"),
        ("kit", "import metering.prices as prices"),
        ("gateway", "from runner import app"),
        ("gateway", "def late():\n    from streams.outbox import entries"),
        ("streams", "if TYPE_CHECKING:\n    from gateway.app import App"),
        ("console_api", "import json, stack.cli"),
        ("console", "from metering.totals import COUNTERS"),
        ("console", "import importlib\nimportlib.import_module('console_api.app')"),
        ("runner", "__import__('console')"),
        ("stack", "from tests.conftest import kafka"),
    ],
)
def test_an_arrow_the_wrong_way_is_refused(package: str, planted: str) -> None:
    assert len(wrong_arrows(planted, package)) == 1


@pytest.mark.parametrize(
    ("package", "lawful"),
    [
        ("schemas", "import msgspec\nfrom schemas.events import RunEvent"),
        ("metering", "from schemas import events"),
        ("gateway", "from . import keys\nfrom kit.clock import now_ms\nfrom metering import runs"),
        ("stack", "from streams.warehouse import migrate"),
    ],
)
def test_an_arrow_the_right_way_is_let_through(package: str, lawful: str) -> None:
    assert wrong_arrows(lawful, package) == []


def test_no_file_grows_too_long() -> None:
    long = {
        name: text.count("\n")
        for name, text in texts()
        if Path(name).suffix in _CODE and text.count("\n") > MAX_LINES
    }

    assert long == {}, "split it"


def test_money_is_never_a_float() -> None:
    found = {
        path.name: lines for path in (ROOT / "metering").glob("*.py") if (lines := floats(path.read_text()))
    }

    assert found == {}


@pytest.mark.parametrize("planted", ["float(micro)", "micro * 1.5", "def f(x: float): ...", "map(float, x)"])
def test_a_float_is_found(planted: str) -> None:
    assert floats(planted) == [1]


def test_no_tracked_file_names_a_registry() -> None:
    assert [name for name, text in texts() if _HOSTS.search(text)] == []


def test_no_tracked_file_holds_a_path_of_one_machine() -> None:
    assert [name for name, text in texts() if _ABSOLUTE.search(text)] == []


@pytest.mark.parametrize(
    "planted",
    [
        "https://" + "pypi" + ".org/simple",
        "https://files." + "pythonhosted" + ".org/x.whl",
        "https://repo" + ".maven.apache" + ".org/maven2",
        "--index" + "-url http://127.0.0.1",
    ],
)
def test_a_registry_is_found(planted: str) -> None:
    assert _HOSTS.search(planted)


@pytest.mark.parametrize("planted", ["/wo" + "rk/main", "'/ro" + "ot/.m2'", "PATH=/ho" + "me/me"])
def test_a_path_of_one_machine_is_found(planted: str) -> None:
    assert _ABSOLUTE.search(planted)
    assert not _ABSOLUTE.search("src/work/x and ./root/y and a/home/b")
