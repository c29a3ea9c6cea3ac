"""The rules of the house, judged on the source itself: names that break determinism, public names, prose."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("refgate", "fakes", "scenarios")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# What would make two runs differ, and what to use instead.
BANNED = {
    "time.time": "ports.clock, or the loop's time",
    "time.monotonic": "loop.time()",
    "time.perf_counter": "loop.time()",
    "time.sleep": "asyncio.sleep",
    "datetime.datetime.now": "ports.clock",
    "datetime.datetime.utcnow": "ports.clock",
    "datetime.datetime.today": "ports.clock",
    "uuid.uuid1": "ports.ids",
    "uuid.uuid4": "ports.ids",
    "os.urandom": "ports.ids",
    "random.random": "a named stream",
    "random.randint": "a named stream",
    "random.choice": "a named stream",
    "random.uniform": "a named stream",
    "random.shuffle": "a named stream",
    "asyncio.wait": "asyncio.TaskGroup (wait answers with sets, ordered by address)",
    "asyncio.as_completed": "asyncio.TaskGroup",
    "asyncio.to_thread": "plain code on the loop",
    "starlette.middleware.base.BaseHTTPMiddleware": "plain ASGI",
    "starlette.background.BackgroundTask": "an owned task with a ceiling",
}

# The few modules that stand at the border, with the reason each may cross it.
AT_THE_BORDER = {
    "fakes/time": "virtual time itself: it names what it replaces",
    "fakes/server.py": "serves fakes on real sockets",
    "refgate/serve.py": "the production composition: real clock, real ids",
    "refgate/cli.py": "tells a person how long a run took on the wall",
    "scenarios/report": "tells a person how long a run took on the wall",
    "scenarios/sweep.py": "tells a person how long a run took on the wall",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def at_the_border(path: Path) -> bool:
    return any(name_of(path) == door or name_of(path).startswith(door + "/") for door in AT_THE_BORDER)


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Local name -> the dotted name it stands for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.expr, names: dict[str, str]) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name) and node.id in names:
        return ".".join([names[node.id], *reversed(parts)])
    return None


def uses(path: Path) -> Iterator[tuple[int, str]]:
    tree = ast.parse(path.read_text())
    names = imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Attribute, ast.Name)):
            found = dotted(node, names)
            if found in BANNED:
                yield node.lineno, found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_that_breaks_determinism_is_used(path: Path) -> None:
    """Time, chance and ids come in through ports; each banned name says what to use instead."""
    if at_the_border(path):
        return
    found = [f"{name_of(path)}:{line} uses {name}: use {BANNED[name]}" for line, name in uses(path)]
    assert found == []


def test_the_ban_bites(tmp_path: Path) -> None:
    """Each way of importing a banned name is seen."""
    source = tmp_path / "bad.py"
    source.write_text(
        "import time\nimport time as t\nfrom time import time as now\ntime.time\nt.time()\nnow()\n"
    )
    assert [line for line, _ in uses(source)] == [4, 5, 6]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    """A module opens with a docstring."""
    assert ast.get_docstring(ast.parse(path.read_text())), f"{name_of(path)} has no docstring"


def is_type_variable(node: ast.stmt) -> bool:
    """`T = TypeVar("T")` names nothing that anybody imports."""
    value = node.value if isinstance(node, ast.Assign) else None
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "TypeVar"


def public_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if is_type_variable(node):
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != "__main__.py"], ids=name_of)
def test_all_names_what_is_public(path: Path) -> None:
    """`__all__` lists every public name the module defines; what is not listed is private by name."""
    tree = ast.parse(path.read_text())
    listed: list[str] | None = None
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
        ):
            listed = ast.literal_eval(node.value)
    public = public_names(tree)
    if listed is None:
        assert not public, f"{name_of(path)} has no __all__ and defines {sorted(public)}"
        return
    missing = public - set(listed)
    assert not missing, f"{name_of(path)}: public but not in __all__: {sorted(missing)}"
    bound = public | set(imported_names(tree))
    bound |= {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    strangers = {name for name in listed if name not in bound and "__getattr__" not in bound}
    assert not strangers, f"{name_of(path)}: in __all__ but not there: {sorted(strangers)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_public_names_are_there(package: str) -> None:
    """What a package offers lazily comes from where it says."""
    offered = import_module(package)
    assert [name for name in offered.__all__ if not hasattr(offered, name)] == []
