"""The `Scenario` value: strict, frozen, and printed so that it reads back equal."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from scenarios.load import find, load, load_text
from scenarios.model.scenario import Crash, Poll, Retry, Scenario, TaskTraffic, schema, to_yaml
from scenarios.select import SUITE
from scenarios.units import (
    amount_text,
    parse_amount,
    parse_claim,
    parse_rate,
    parse_size,
    rate_text,
    size_text,
)

CONFIG = {"providers": {"rh": {}}, "billing": {"kind": "remote"}, "callers": {"alice": {}, "bob": {}}}


def scenario(**parts):
    usual = {
        "about": "a test",
        "gateway": {"config": CONFIG, "replicas": 2},
        "providers": {"rh": {"wire": "runninghub"}},
    }
    return Scenario.model_validate({**usual, **parts}, by_alias=True)


EVERYTHING = scenario(
    hazards=["A5", "A12"],
    billing={"accounts": {"alice": "10.00"}, "acts": [{"do": {"down": {}}}]},
    traffic=[
        {
            "send": "task",
            "provider": "rh",
            "account": "alice",
            "thread": "team",
            "name": "busy",
            "rate": "90/m",
            "for": "1m30s",
            "arrivals": "even",
            "headers": {"x-note": "a: b"},
            "body": {"prompt": "on", "n": 1, "half": 0.5, "none": None, "deep": {"list": [1, "2"]}},
            "key": "shared",
            "copies": 2,
            "again": {"times": 2},
            "repeat_with_other_body": True,
            "retry": {"on": [409, "lost"], "wait": "250ms"},
            "leaves_after": "300ms",
            "poll": {"pollers": 2, "also_by": ["bob"], "result": True},
        },
        {"send": "task", "provider": "rh", "account": "bob", "poll": None, "key": "none"},
        {
            "send": "http",
            "times": 3,
            "requests": [
                {"path": "/api/proxy/rh/x", "json": {"a": [1, None, "no"]}},
                {"method": "POST", "path": "/", "filler": "2MiB", "wait": "1s"},
                {"method": "PUT", "path": "/y", "text": "line\nline\n"},
            ],
        },
    ],
    links=[
        {"from": "gateway", "to": "rh", "latency": {"percentiles": {"p50": "200ms", "p99": "2s"}}},
        {"from": "client", "to": "gateway-1", "do": {"reset_during": {"after_bytes": 7}}, "chance": 0.25},
        {"from": "gateway-0", "to": "billing", "do": {"refuse": {}}, "at": "1s", "until": "2s"},
    ],
    faults=[
        {"at": "3m", "crash": "gateway-0"},
        {"crash": "gateway-1", "at_await": 17, "back_after": None},
        {"crash": "gateway-1", "at_commit": 4, "side": "before"},
        {"at": "1m", "stop": "gateway-1"},
        {"at": "10s", "until": "20s", "store": {"error": "full", "on": "commit"}, "count": 3},
    ],
    schedule={"order": "pick", "step_cost": "50us"},
    judge={"skip": ["headers-clean"], "require": ["alive-afterwards"]},
    expect={"charged": {"alice": "0.25"}, "served": ">= 99%", "counts": {"crash": 3}, "reached": ["lost"]},
)


def test_what_is_printed_reads_back_equal():
    """A scenario printed and read is the same value, and prints the same text."""
    text = to_yaml(EVERYTHING)
    again = load_text(text)
    assert again == EVERYTHING
    assert to_yaml(again) == text


@pytest.mark.parametrize("path", find([SUITE]), ids=lambda path: path.stem)
def test_the_suite_prints_and_reads_back_equal(path: Path):
    """The same for every file that comes with refgate."""
    loaded = load(path)
    assert load_text(to_yaml(loaded.scenario)) == loaded.scenario


def test_defaults_are_not_printed():
    """A small scenario is a small file."""
    assert to_yaml(scenario()).splitlines() == [
        "about: a test",
        "gateway:",
        "  config:",
        "    providers:",
        "      rh: {}",
        "    billing: {kind: remote}",
        "    callers:",
        "      alice: {}",
        "      bob: {}",
        "  replicas: 2",
        "providers:",
        "  rh: {wire: runninghub}",
    ]


def test_a_scenario_is_frozen():
    """One value, shared by everybody: nobody changes it."""
    with pytest.raises(ValidationError):
        EVERYTHING.settle = 1


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"settle": 5}, "duration"),
        ({"settle": "5"}, "duration"),
        ({"traffic": [{"send": "task", "provider": "kl", "account": "a"}]}, "kl is not one of the providers"),
        ({"links": [{"from": "gateway-7", "to": "rh", "do": {"refuse": {}}}]}, "gateway-7 is no end"),
        ({"links": [{"from": "client", "to": "gateway"}]}, "latency, connections_max or do"),
        ({"links": [{"from": "client", "to": "gateway", "do": {}}]}, "exactly one of"),
        (
            {"faults": [{"crash": "gateway-2", "at": "1s"}]},
            "gateway-2 is no replica here: there is gateway-0",
        ),
        ({"faults": [{"crash": "gateway-0"}]}, "at a time after 0s, at_await or at_commit"),
        ({"faults": [{"crash": "gateway-0", "at_await": 1, "at_commit": 1}]}, "not both"),
        ({"faults": [{"crash": "gateway-0", "at_await": 1, "side": "before"}]}, "side goes with at_commit"),
        ({"faults": [{"at": "2s", "until": "1s", "store": {"error": "io"}}]}, "until is not after at"),
        ({"faults": [{"restart": "gateway-0"}]}, "a fault says crash"),
        ({"traffic": [{"send": "task", "provider": "rh", "account": "a", "rate": "1/s"}]}, "go together"),
        (
            {
                "traffic": [
                    {"send": "http", "clients": 2, "rate": "1/s", "for": "9s", "requests": [{"path": "/"}]}
                ]
            },
            "clients, pause and spread go with times",
        ),
        (
            {"traffic": [{"send": "http", "arrivals": "even", "requests": [{"path": "/"}]}]},
            "arrivals goes with rate and for",
        ),
        (
            {"links": [{"from": "gateway", "to": "client", "do": {"refuse": {}}}]},
            "client is no end for gateway",
        ),
        ({"links": [{"from": "client", "to": "rh", "do": {"refuse": {}}}]}, "rh is no end for client"),
        (
            {"links": [{"from": "client", "to": "gateway", "connections_max": 1, "at": "3s"}]},
            "at, until, count, skip and chance go with do",
        ),
        ({"expect": {"counts": {"ok": ">= 0"}}}, "holds whatever happens"),
        ({"expect": {"counts": {"ok": ">= 90%"}}}, "a count is claimed as a number"),
        (
            {"traffic": [{"send": "task", "provider": "rh", "account": "a", "rate": "1/s", "for": "9d"}]},
            "more than 200000 calls",
        ),
        (
            {"traffic": [{"send": "http", "clients": 9999, "times": 99, "requests": [{"path": "/"}]}]},
            "more than 200000 calls",
        ),
        (
            {"traffic": [{"send": "task", "provider": "rh", "account": "a", "poll": {"every": "1us"}}]},
            "more than 100000 polls",
        ),
        (
            {"traffic": [{"send": "task", "provider": "rh", "account": "a", "key": "none", "copies": 2}]},
            "need a key",
        ),
        ({"traffic": [{"send": "http", "requests": []}]}, "at least 1 item"),
        ({"expect": {"charged": 0.25}}, "quoted decimal"),
        ({"expect": {"served": "most"}}, "a claim is"),
        ({"providers": {"rh": {"wire": "smoke"}}}, "runninghub"),
        (
            {"providers": {"rh": {"wire": "fal", "plan": {"units": "0.1", "unit_cost": "0.000000001"}}}},
            "whole",
        ),
        ({"hazards": ["Z9"]}, "pattern"),
        ({"about": ""}, "at least 1 character"),
    ],
)
def test_what_makes_no_sense_is_refused(parts, says):
    """Each mistake is told in words that say what to write instead."""
    with pytest.raises(ValidationError, match=says):
        scenario(**parts)


def test_the_schema_knows_every_part():
    """Editors get the names that files use, and are told to refuse others."""
    text = json.dumps(schema())
    for name in ("from", "for", "at_await", "rate_limited", "applied_but_answer_lost", "reset_after"):
        assert f'"{name}"' in text
    assert schema()["additionalProperties"] is False


def test_python_may_use_the_fields_names():
    """Generators build values by field; the file's aliases are for files."""
    block = TaskTraffic(send="task", provider="rh", account="alice", lasting="1m", rate="2/s", retry=Retry())
    assert block.lasting == 60_000_000
    assert Poll().every == 2_000_000
    assert Crash(crash="gateway-0", at_await=3).back_after == 2_000_000


@given(st.integers(min_value=-(10**20), max_value=10**20))
def test_amounts_round_trip(nanos):
    """Money is exact in both directions."""
    assert parse_amount(amount_text(nanos)) == nanos


@given(st.integers(min_value=0, max_value=10**11))
def test_sizes_round_trip(size):
    """So are sizes."""
    assert parse_size(size_text(size)) == size


@given(st.integers(min_value=1, max_value=10**9), st.sampled_from(["s", "m", "h"]))
def test_rates_round_trip(thousandths, unit):
    """A rate is the same rate in whichever unit it is printed."""
    rate = parse_rate(f"{thousandths // 1000}.{thousandths % 1000:03d}/{unit}")
    assert parse_rate(rate_text(rate)) == rate


@pytest.mark.parametrize(
    ("text", "seen", "holds"),
    [
        (3, 3, True),
        ("3", 2, False),
        (">= 3", 3, True),
        ("<2", 2, False),
        ("> 0", 1, True),
        ("== 0", 0, True),
        ("<= 1.5", 1, True),
    ],
)
def test_claims_compare(text, seen, holds):
    """A claim is a number or a comparison with one."""
    assert parse_claim(text).holds(seen) is holds


def test_shares_compare_as_shares():
    """99% of 100 is met by 99 and not by 98."""
    from fractions import Fraction

    claim = parse_claim(">= 99%")
    assert claim.holds(Fraction(99, 100))
    assert not claim.holds(Fraction(98, 100))


@pytest.mark.parametrize("text", ["0.25.1", "1e3", "", "0.1234567891", 0.25, 1, None])
def test_amounts_that_are_none(text):
    """Anything that is not short, quoted decimal text is refused."""
    with pytest.raises(ValueError, match="an amount is quoted"):
        parse_amount(text)


def test_the_schema_shows_defaults_as_a_file_writes_them():
    """An editor that fills a default in writes what the loader takes."""
    poll = schema()["$defs"]["Poll"]["properties"]
    assert poll["every"]["default"] == "2s"
    assert poll["every"]["type"] == "string"
