"""What the pages point at is there: links, and the files and folders that they name."""

import re
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
