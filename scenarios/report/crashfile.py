"""A failure kept as a file: the scenario, the seed and the versions it was seen with.

The file is a scenario file with one more key, `failed`, so that a person can read and shorten it;
`refgate replay` takes it and says FIXED or FAILED. Versions that differ are told, never an error.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from scenarios.load import load, load_data
from scenarios.mistakes import BadScenario, Problem, at_keys
from scenarios.model.scenario import Scenario
from scenarios.sweep import Played
from scenarios.yamlish import Badly, read, write

__all__ = ["FOLDER", "Kept", "keep", "take_up", "versions"]

FOLDER = Path(".refgate") / "failures"

_LIBRARIES = ("refgate", "anyio", "httpx", "pydantic", "starlette")
_KEY = "failed"


@dataclass(frozen=True, slots=True)
class Kept:
    """A failure as it was kept. `differs` names each version that is another one today."""

    name: str
    scenario: Scenario
    seed: int | None
    broken: tuple[str, ...]
    differs: tuple[str, ...]


def versions() -> dict[str, str]:
    """What a replay needs to be the same: Python and the libraries under the loop's feet."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def keep(scenario: Scenario, played: Played, *, folder: Path = FOLDER) -> Path:
    """Writes the failure down and answers where."""
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", "-".join(part for part in (played.name, played.label) if part))
    path = folder / f"{stem}-{played.seed}.yaml"
    plain: dict[str, Any] = scenario.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    plain[_KEY] = {
        "name": played.name,
        "seed": played.seed,
        "broken": [one.check for one in played.broken] + [one.what for one in played.unmet],
        "versions": versions(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(write(plain), encoding="utf-8")
    return path


def take_up(path: Path) -> Kept:
    """A kept failure, or any scenario file: then there is no seed in it."""
    try:
        data, places = read(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as broken:
        raise BadScenario([Problem(str(path), 1, "", f"cannot be read: {broken}")]) from broken
    except Badly as broken:
        raise BadScenario([Problem(str(path), broken.line, "", broken.problem)]) from broken
    if not isinstance(data, dict) or _KEY not in data:
        return Kept(path.stem, load(path).scenario, None, (), ())
    said = data.pop(_KEY)
    if not _is_said(said):
        message = "names a seed, what was broken, and versions"
        raise BadScenario([at_keys(str(path), places, (_KEY,), message)])
    scenario = load_data(data, places, source=str(path), folder=path.parent)
    then = said.get("versions", {})
    differs = [
        f"{name} {then[name]} → {now}" for name, now in versions().items() if then.get(name, now) != now
    ]
    name = str(said.get("name", path.stem))
    return Kept(name, scenario, said.get("seed"), tuple(map(str, said.get("broken", ()))), tuple(differs))


def _is_said(said: object) -> bool:
    """Whether this is what `keep` writes beside a scenario, or less."""
    kinds = {"seed": int, "broken": list, "versions": dict}
    return isinstance(said, dict) and all(
        isinstance(said[name], kind) for name, kind in kinds.items() if name in said
    )
