"""Runs for other programs: one JSON document, and JUnit XML as CI servers read it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from scenarios.checks import Finding
from scenarios.report.summary import Sum
from scenarios.report.words import at, words
from scenarios.sweep import Played

__all__ = ["as_json", "as_junit", "unwritable", "write_json", "write_junit"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(total: Sum, played: list[Played], wall_s: float) -> dict[str, Any]:
    """Everything that was played, as plain values."""
    return {
        "runs": [_run(one) for one in played],
        "invariants": {
            name: {verdict.value: number for verdict, number in sorted(seen.items())}
            for name, seen in total.verdicts.items()
        },
        "untested_everywhere": total.never_tested,
        "failed": len(total.failed),
        "requests": total.requests,
        "virtual_us": total.virtual_us,
        "wall_s": round(wall_s, 3),
    }


def _run(one: Played) -> dict[str, Any]:
    return {
        "name": one.name,
        "path": one.path,
        "seed": one.seed,
        "label": one.label,
        "holds": one.holds,
        "refused": one.refused,
        "digest": one.digest,
        "steps": one.steps,
        "requests": one.requests,
        "virtual_us": one.virtual_us,
        "wall_s": round(one.wall_s, 4),
        "verdicts": {finding.check: finding.verdict.value for finding in one.findings},
        "broken": [_finding(finding) for finding in (*one.broken, *one.faulty_checks)],
        "unmet": [{"expected": item.what, "seen": item.seen} for item in one.unmet],
        "unapplied": list(one.unapplied),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "verdict": finding.verdict.value,
        "sentence": finding.sentence,
        "breaches": [
            {"sentence": breach.sentence, "facts": [f"{at(fact)}  {words(fact)}" for fact in breach.facts]}
            for breach in finding.breaches
        ],
    }


def as_junit(played: list[Played]) -> ElementTree.Element:
    """A test suite per file, a test case per run."""
    root = ElementTree.Element("testsuites", name="refgate")
    suites: dict[str, ElementTree.Element] = {}
    for one in played:
        key = one.path or one.name
        if key not in suites:
            suites[key] = ElementTree.SubElement(root, "testsuite", name=one.name)
        label = f" {one.label}" if one.label else ""
        case = ElementTree.SubElement(
            suites[key],
            "testcase",
            classname=one.name,
            name=f"seed {one.seed}{label}",
            time=f"{one.wall_s:.4f}",
        )
        if not one.holds:
            kind = "failure" if one.broken or one.unmet else "error"
            ElementTree.SubElement(case, kind, message=_clean(_headline(one))).text = _clean(_proof(one))
    for suite in suites.values():
        cases = list(suite)
        suite.set("tests", str(len(cases)))
        suite.set("failures", str(sum(case.find("failure") is not None for case in cases)))
        suite.set("errors", str(sum(case.find("error") is not None for case in cases)))
    return root


def _headline(one: Played) -> str:
    names = [finding.check for finding in (*one.broken, *one.faulty_checks)]
    return one.refused or ", ".join(names + [f"expected {item.what}" for item in one.unmet])


def _proof(one: Played) -> str:
    lines: list[str] = []
    for finding in (*one.broken, *one.faulty_checks):
        lines.append(f"{finding.check}: {finding.sentence}")
        lines += [f"  {at(fact)}  {words(fact)}" for fact in finding.evidence]
    lines += [f"expected {item.what}: {item.seen}" for item in one.unmet]
    return "\n".join(lines)


def _clean(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def unwritable(path: Path) -> str | None:
    """Why no report can be written there; None where one can. Asked before hours are spent on it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("a").close()
    except OSError as error:
        return f"a report cannot be written to {path}: {error.strerror}"
    return None


def write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def write_junit(path: Path, root: ElementTree.Element) -> None:
    ElementTree.ElementTree(root).write(path, encoding="unicode", xml_declaration=True)
