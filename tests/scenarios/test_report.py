"""Reports: every fact has words, every failure its proof, and other programs get what they can read."""

import dataclasses
import inspect
import io
import json
from xml.etree import ElementTree

import pytest
from rich.console import Console

import fakes.journal
import scenarios.history
from fakes.journal import Fact
from scenarios.checks import Breach, Finding, Verdict
from scenarios.expect import Expectation
from scenarios.generate.session import Explored
from scenarios.history import Got, Sent
from scenarios.report.console import Printer
from scenarios.report.files import as_json, as_junit, write_json, write_junit
from scenarios.report.summary import Sum
from scenarios.report.words import at, seconds, words
from scenarios.run import Numbers
from scenarios.sweep import Played

KINDS = [
    kind
    for module in (fakes.journal, scenarios.history)
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, Fact) and kind is not Fact and kind.__module__ == module.__name__
]


def sample(kind: type[Fact]) -> Fact:
    """A fact of this kind with something in each field."""
    values = {"t_us": 1_500_000, "at": "somewhere"}
    for field in dataclasses.fields(kind):
        if field.name in values:
            continue
        text = str(field.type)
        if text.startswith("int"):
            values[field.name] = 7
        elif text.startswith("bool"):
            values[field.name] = False
        elif text.startswith("bytes"):
            values[field.name] = b"x" * 300
        elif text.startswith(("tuple", "Headers")):
            values[field.name] = ()
        else:
            values[field.name] = "text"
    return kind(**values)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_fact_has_words(kind: type[Fact]):
    """One short line, and not just the name of its kind."""
    text = words(sample(kind))
    assert text != kind.kind and "\n" not in text and len(text) < 200


def test_times_are_seconds():
    """Hours are told apart, so that a week is readable."""
    assert seconds(12_345_678) == "12.346s"
    assert seconds(2 * 3_600_000_000 + 5) == "2h 0.000s"
    assert at(sample(Sent)) == "      1.500s  somewhere"


SENT = sample(Sent)
GOT = dataclasses.replace(
    sample(Got),
    status=402,
    error=None,
    outcome="fail",
    headers=(("x-refgate-error", "insufficient_funds"),),
    body=b"[no]",
)


def played(seed: int, *findings: Finding, **parts) -> Played:
    usual = {
        "name": "money/one",
        "path": "suite/money/one.yaml",
        "seed": seed,
        "label": "",
        "findings": findings,
        "expectations": (),
        "faulty_checks": (),
        "unapplied": (),
        "digest": "d",
        "trace": "t",
        "steps": 10,
        "virtual_us": 3_000_000,
        "requests": 5,
        "wall_s": 0.25,
        "numbers": Numbers(),
    }
    return Played(**{**usual, **parts})


HOLDS = Finding("every-hold-ends", Verdict.HOLDS, "2 judged", 2)
UNTESTED = Finding("no-phantom-refusal", Verdict.UNTESTED, "nothing")
BROKEN = Finding(
    "every-hold-ends",
    Verdict.BROKEN,
    "hold 7 is open (and 4 more)",
    9,
    5,
    tuple(Breach(f"hold {number} is open", (SENT, GOT)) for number in range(5)),
)


def printed(tell) -> str:
    out = io.StringIO()
    tell(Printer(Console(file=out, width=300, highlight=False)))
    return out.getvalue()


def test_a_failure_is_told_whole():
    """The check, what it says, the facts that prove it, the command, and what else failed."""
    unmet = Expectation("charged 0.25 in all", False, "0.50 was charged")
    failed = played(
        3, BROKEN, expectations=(unmet,), unapplied=("gateway-0: crash at await 9: it did not come",)
    )
    text = printed(
        lambda printer: printer.failure(
            failed,
            again="refgate replay x.yaml",
            others=[(played(5, BROKEN), "refgate replay y.yaml")],
            held=4,
        )
    )
    for part in (
        "money/one · seed 3",
        "broken every-hold-ends",
        "hold 0 is open",
        "1.500s  somewhere",
        "call 7.7: text → 402 (fail, insufficient_funds) [no]",
        "and 2 more",
        "expected charged 0.25 in all: 0.50 was charged",
        "crash at await 9",
        "seed 5: every-hold-ends: refgate replay y.yaml",
        "4 runs of this file hold",
        "refgate replay x.yaml",
    ):
        assert part in text


def test_a_run_that_was_not_played_says_why():
    """The gateway's own words about its configuration."""
    refused = played(0, refused="gateway-0 does not start: ConfigError: no [key]")
    assert "not played: gateway-0 does not start: ConfigError: no [key]" in printed(
        lambda printer: printer.failure(refused, again="")
    )


def test_a_summary_counts():
    """Per invariant, and what no run reached."""
    total = Sum()
    for one in (played(0, HOLDS, UNTESTED), played(1, BROKEN, UNTESTED)):
        total.add(one)
    text = printed(lambda printer: printer.summary(total, 2.0))
    assert "1 of 2 runs failed · 1 file · 10 requests · 6.000s simulated in 2.0s (3 : 1)" in text
    assert "untested in every run: no-phantom-refusal" in text
    assert total.never_tested == ["no-phantom-refusal"]
    (line,) = [line for line in text.splitlines() if line.startswith("every-hold-ends")]
    assert line.split() == ["every-hold-ends", "1", "0", "1"]


@pytest.mark.parametrize(
    ("runs", "code"),
    [
        ([played(0, HOLDS)], 0),
        ([played(0, HOLDS, UNTESTED)], 0),
        ([played(0, BROKEN)], 1),
        ([played(0, HOLDS, expectations=(Expectation("x", False, "y"),))], 1),
        ([played(0, faulty_checks=(Finding("c", Verdict.ERROR, "raised"),))], 2),
        ([played(0, refused="no")], 2),
        ([played(0, BROKEN), played(1, refused="no")], 1),
    ],
)
def test_exit_codes(runs, code):
    """0 holds, 1 broken, 2 wrong input or a broken check; what is broken comes first."""
    total = Sum()
    for one in runs:
        total.add(one)
    assert total.exit_code() == code


def test_what_another_process_finds_is_told_of_its_own_run():
    """A failure at another place of the same seed stays one."""
    total, here, there = (
        Sum(),
        played(0, HOLDS),
        dataclasses.replace(played(0, BROKEN), label="gateway-0 await 3"),
    )
    for one in (here, there):
        total.add(one)
    differs = dataclasses.replace(here, findings=(*here.findings, BROKEN))
    total.find(differs, BROKEN)
    assert total.failed == [there, differs]


def test_exploring_tells_what_its_examples_could_have_reached():
    """Examples of tasks alone reach no promise about chats; and codes are those of every command."""
    explored = Explored()
    assert "stream-parity" not in explored.untested("tasks") and "failure-is-free" in explored.untested(
        "tasks"
    )
    assert "stream-parity" in explored.untested("chat") and "stream-parity" in explored.untested("all")
    assert explored.exit_code == 0
    explored.failed.append(played(0, refused="no"))
    assert explored.exit_code == 2
    explored.failed.append(played(0, BROKEN))
    assert explored.exit_code == 1


def test_json_and_junit_are_whole(tmp_path):
    """Every run is in both; a failure is a failure, what could not be judged an error."""
    runs = [played(0, HOLDS), played(1, BROKEN), played(2, refused="no \x00 key")]
    total = Sum()
    for one in runs:
        total.add(one)
    write_json(tmp_path / "o.json", as_json(total, runs, 1.5))
    document = json.loads((tmp_path / "o.json").read_text())
    assert [one["holds"] for one in document["runs"]] == [True, False, False]
    assert document["runs"][1]["broken"][0]["breaches"][0]["sentence"] == "hold 0 is open"
    assert document["invariants"] == {"every-hold-ends": {"broken": 1, "holds": 1}}
    write_junit(tmp_path / "o.xml", as_junit(runs))
    root = ElementTree.parse(tmp_path / "o.xml").getroot()
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert suite[1].find("failure").get("message") == "every-hold-ends"
