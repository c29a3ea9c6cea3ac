"""Scenario files: strict YAML in, every mistake at once, each with file, line, field and a suggestion.

A gateway configuration given by name is looked for beside the file, then in the suite; one found beside
the file is read into the scenario, so that a scenario once loaded stands on its own.

What holds whatever happens is a mistake too: a name that nothing counts, an account that nobody has, a
provider that the gateway was never told of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from scenarios import gateways
from scenarios.checks import all_checks
from scenarios.counts import COUNTED, counts
from scenarios.declared.reading import section
from scenarios.mistakes import BadScenario, Problem, at_keys, explained, nearest
from scenarios.model.scenario import ChatTraffic, Scenario, TaskTraffic
from scenarios.yamlish import Badly, Places, read
from scenarios.yamlish import Path as Keys

__all__ = ["Loaded", "find", "load", "load_data", "load_text"]

_FILES_MAX = 10_000

_Told = tuple[Keys, str, str | None]
"""Where a mistake is, what it is, and what was probably meant."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A scenario and the file it came from. `name` is short and unique within one run."""

    name: str
    path: str
    scenario: Scenario


def find(paths: Iterable[Path]) -> list[Path]:
    """The scenario files among these files and folders, in order; `gateways/` folders hold none."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (one for one in path.rglob("*.yaml") if "gateways" not in one.relative_to(path).parts)
            found += sorted(inside)
        elif path.is_file():
            found.append(path)
        else:
            raise BadScenario([Problem(str(path), 1, "", "no such file or folder")])
    if len(found) > _FILES_MAX:
        raise BadScenario([Problem(str(found[0].parent), 1, "", f"more than {_FILES_MAX} scenario files")])
    return found


def load(path: Path, *, name: str | None = None) -> Loaded:
    """The scenario of one file."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as broken:
        raise BadScenario([Problem(str(path), 1, "", f"cannot be read: {broken}")]) from broken
    return Loaded(name or path.stem, str(path), load_text(text, source=str(path), folder=path.parent))


def load_text(text: str, *, source: str = "<text>", folder: Path | None = None) -> Scenario:
    """The scenario that a text describes; `folder` is where its gateway configuration may lie."""
    try:
        data, places = read(text)
    except Badly as broken:
        raise BadScenario([Problem(source, broken.line, "", broken.problem)]) from broken
    if not isinstance(data, dict):
        raise BadScenario([Problem(source, 1, "", "a scenario is a mapping that begins with about:")])
    return load_data(data, places, source=source, folder=folder)


def load_data(
    data: dict[str, Any], places: Places, *, source: str = "<text>", folder: Path | None = None
) -> Scenario:
    """The same of what was read already."""
    problems: list[Problem] = []
    _read_config(data, folder, source, places, problems)
    try:
        scenario = Scenario.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as broken:
        problems += explained(broken, data, places, source)
    else:
        told = () if problems else _against_the_gateway(scenario)
        for keys, message, meant in (*_misspelt(scenario), *told, *_missing_sdks(scenario)):
            problems.append(at_keys(source, places, keys, message, meant))
    if problems:
        raise BadScenario(sorted(problems, key=lambda one: one.line))
    return scenario


def _read_config(
    data: dict[str, Any], folder: Path | None, source: str, places: Places, problems: list[Problem]
) -> None:
    """A configuration that lies beside the file goes into the data; a name that is nowhere is a problem."""
    gateway = data.get("gateway")
    name = gateway.get("config") if isinstance(gateway, dict) else None
    if not isinstance(gateway, dict) or not isinstance(name, str):
        return
    beside = folder / name if folder is not None else None
    if beside is not None and beside.is_file():
        try:
            gateway["config"], _ = read(beside.read_text(encoding="utf-8"))
        except Badly as broken:
            problems.append(Problem(str(beside), broken.line, "", broken.problem))
    elif name not in gateways.names():
        near, message = nearest(name, gateways.names()), f"no gateway configuration {name!r}"
        problems.append(at_keys(source, places, ("gateway", "config"), message, near))


def _misspelt(scenario: Scenario) -> Iterator[_Told]:
    """Names that nobody bears: what they claim would hold for ever, or never."""
    checks = {one.name for one in all_checks()}
    for field in ("skip", "require"):
        for index, name in enumerate(getattr(scenario.judge, field)):
            keys: Keys = ("judge", field, index)
            if name not in checks:
                yield keys, f"no check is called {name!r}", nearest(name, checks)
            elif field == "require" and name in scenario.judge.skip:
                yield keys, f"{name} is left out by skip: it cannot be required as well", None
    named: list[tuple[Keys, str]] = [(("expect", "counts", name), name) for name in scenario.expect.counts]
    named += [(("expect", "reached", index), name) for index, name in enumerate(scenario.expect.reached)]
    for place, name in named:
        if not counts(name):
            yield place, f"nothing is counted as {name!r}", nearest(name, COUNTED)


def _against_the_gateway(scenario: Scenario) -> Iterator[_Told]:
    """What the scenario and the gateway's configuration must agree on, or nothing is tested."""
    config = gateways.gateway_config(scenario)
    billing = section(config, "billing")
    remote = billing.get("kind") == "remote"
    if remote and scenario.billing is None:
        message = "the gateway bills remotely: give its accounts their money in billing"
        yield ("gateway", "config"), message, None
    if scenario.billing is not None and not remote:
        yield ("billing",), "the gateway's configuration does not bill remotely", None
    yield from _unmatched_providers(scenario, config)
    accounts = {*section(billing, "accounts"), *(scenario.billing.accounts if scenario.billing else ())}
    if isinstance(scenario.expect.charged, dict):
        for name in scenario.expect.charged:
            if name not in accounts:
                message = "nobody has an account of this name"
                yield ("expect", "charged", name), message, nearest(name, accounts)
    models = _models(config)
    for index, block in enumerate(scenario.traffic):
        if isinstance(block, ChatTraffic) and block.model not in models:
            meant = nearest(block.model, models)
            if meant is not None:  # else it is asked for because nobody serves it
                message = f"the gateway's configuration serves no model {block.model}"
                yield ("traffic", index, "model"), message, meant
        also = block.poll.also_by if isinstance(block, TaskTraffic) and block.poll is not None else ()
        named: list[tuple[Keys, str | None]] = [(("traffic", index, "account"), block.account)]
        named += [(("traffic", index, "poll", "also_by", at), name) for at, name in enumerate(also)]
        for keys, account in named:
            if account is not None and gateways.caller_of(config, account) is None:
                message = f"no caller of the gateway's configuration may bill {account}"
                yield keys, message, nearest(account, accounts)


def _models(config: Mapping[str, Any]) -> set[str]:
    """Every name under which the gateway serves a model."""
    served = gateways.models(config)
    aliases = (section(served, name).get("aliases") for name in served)
    return {*served, *(str(one) for names in aliases if isinstance(names, list) for one in names)}


def _unmatched_providers(scenario: Scenario, config: Mapping[str, Any]) -> Iterator[_Told]:
    """Whoever the gateway may call is in the world, and whoever is there may be called."""
    called: set[str] = set()
    for part in ("providers", "backends"):
        for name, entry in section(config, part).items():
            if isinstance(entry, dict) and not entry.get("enabled", True):
                continue
            called.add(name)
            url = entry.get("base_url") if isinstance(entry, dict) else None
            if name in scenario.providers and isinstance(url, str) and _host(url) != f"{name}.test":
                message = f"the base_url of {part}.{name} is {url}, and here its host is {name}.test"
                yield ("gateway", "config"), message, f"http://{name}.test"
    for name in scenario.providers:
        if name not in called:
            message = "the gateway's configuration has no provider or backend of this name"
            yield ("providers", name), message, nearest(name, called - scenario.providers.keys())
    absent = sorted(called - scenario.providers.keys())
    if absent:
        yield (
            ("providers",),
            f"the gateway's configuration calls {', '.join(absent)} too: say who they are",
            None,
        )


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _missing_sdks(scenario: Scenario) -> Iterator[_Told]:
    """The vendors' SDKs are an extra: who has not installed them is told so, before anything runs."""
    for index, block in enumerate(scenario.traffic):
        if isinstance(block, ChatTraffic) and block.via != "plain" and find_spec(block.via) is None:
            message = f"the {block.via} SDK is not installed here: pip install 'refgate[sdks]'"
            yield ("traffic", index, "via"), message, None
