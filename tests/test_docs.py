"""What the pages point at is there: links, and the files, folders and modules that they name."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
HOMES = (ROOT, ROOT / "refgate", ROOT / "scenarios", ROOT / "fakes")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Within the project; other hosts are not asked."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_is_named_is_there(page: Path) -> None:
    """By its path from the root or from its package; by its bare name, where it is somewhere in a package."""
    named = set(re.findall(r"`((?:[a-z_0-9]+/)*[a-z_0-9]+\.py|(?:[a-z_0-9]+/)+)`", page.read_text()))
    missing = [
        name
        for name in named
        if not any((home / name).exists() for home in HOMES)
        and ("/" in name or not any(True for home in HOMES[1:] for _ in home.rglob(name)))
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_name_in_a_package_is_there(page: Path) -> None:
    """A module, or what a module or a package offers. Decisions also name what was not done."""
    if page.parent.name == "decisions":
        return
    named = set(re.findall(r"`((?:refgate|fakes|scenarios)(?:\.[A-Za-z_]+)+)`", page.read_text()))
    assert [name for name in named if not is_there(name)] == []


def is_there(name: str) -> bool:
    module, _, last = name.rpartition(".")
    if find_spec(module) is None:
        return False
    return hasattr(__import__(module, fromlist=["_"]), last) or find_spec(name) is not None
