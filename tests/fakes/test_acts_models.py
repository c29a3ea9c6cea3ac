"""Acts as values: read strictly, written back as they were, and clear about what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fakes.acts.script import BillingAct, ProviderAct, Script
from fakes.acts.vocabulary import BillingDo, ProviderDo
from fakes.durations import EPOCH_US, duration_text, parse_us
from fakes.tasks import TaskPlan
from fakes.time import Options


@pytest.mark.parametrize(
    ("text", "us"),
    [("250ms", 250_000), ("30s", 30_000_000), ("5m", 300_000_000), ("1h", 3_600_000_000), ("0s", 0)],
)
def test_a_duration_is_read_and_written_back(text: str, us: int) -> None:
    """Exactly, and in its largest whole unit."""
    assert parse_us(text) == us
    assert duration_text(us) == text


def test_durations_add_up_and_may_have_a_fraction() -> None:
    """As people write them."""
    assert parse_us("1m30s") == 90_000_000
    assert parse_us("1.5s") == 1_500_000
    assert parse_us("2d") == 172_800_000_000


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "-5s", "5sec", "1e3s", "0.5us", "9" * 60 + "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A number without a unit above all: nobody can tell what it meant."""
    with pytest.raises(ValueError, match=r"duration|microsecond"):
        parse_us(text)


def test_the_wall_clock_of_the_fakes_is_that_of_the_simulation() -> None:
    """Two constants, one instant."""
    assert Options().epoch_us == EPOCH_US


def act(**fields: Any) -> ProviderAct:
    return ProviderAct.model_validate(fields)


def test_an_act_is_written_back_as_it_was_read() -> None:
    """What a shrunk scenario prints can be read again."""
    given = {
        "from": "10s",
        "until": "5m",
        "count": 3,
        "skip": 1,
        "per": "identity",
        "match": {"op": "poll", "path": "/a/*"},
        "chance": 0.5,
        "do": {"rate_limited": {"retry_after": "30s", "form": "date"}},
    }
    read = act(**given)
    assert read.model_dump(mode="json", by_alias=True, exclude_defaults=True) == given
    assert read.from_us == 10_000_000


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"do": {}}, "exactly one act"),
        ({"do": {"drop": {}, "reset": {}}}, "drop, reset"),
        ({"do": {"explode": {}}}, "explode"),
        ({"do": {"drop": {}}, "frm": "1s"}, "frm"),
        ({"from": 10, "do": {"drop": {}}}, "text with a unit"),
        ({"from": "2s", "until": "2s", "do": {"drop": {}}}, "until must lie after from"),
        ({"chance": 1.5, "do": {"drop": {}}}, "less than or equal to 1"),
        ({"count": 0, "do": {"drop": {}}}, "greater than or equal to 1"),
        ({"match": {"op": "poll"}, "do": {"task_never_ends": {}}}, "never meets op poll: it meets submit"),
        ({"match": {"op": "submit"}, "do": {"disagreeing": {}}}, "never meets op submit"),
        ({"do": {"cut": {}}}, "cut says where"),
        ({"do": {"latency": {"by": "1s", "ramp_to": "2s"}}}, "needs until"),
        ({"do": {"usage": {"shown": "value"}}}, "value goes with shown: value"),
        ({"do": {"task_costs": {"units": 0.25}}}, "no float touches it"),
        ({"do": {"task_costs": {"units": "-1"}}}, "not an amount"),
        ({"do": {"task_costs": {"units": "many"}}}, "not a decimal"),
        ({"do": {"rejected": {"reason": "mood"}}}, "insufficient_balance"),
        ({"do": {"odd_body": {"kind": "html", "status": 204}}}, "has no body"),
        ({"do": {"answer_headers": {"set": {"a b": "c"}}}}, "no header name"),
        ({"do": {"answer_headers": {"set": {"a": "b\r\nc: d"}}}}, "printable ASCII"),
        ({"do": {"answer_headers": {"set": {"Content-Length": "ten"}}}}, "content-length is a number"),
    ],
)
def test_a_mistake_in_an_act_is_named(fields: dict[str, Any], words: str) -> None:
    """The message says what is wrong in the writer's own words."""
    with pytest.raises(ValidationError, match=words):
        act(**fields)


def test_billing_knows_its_own_acts_only() -> None:
    """A provider's act in a billing script is a mistake, and the reverse."""
    with pytest.raises(ValidationError, match="task_fails"):
        Script.for_billing([{"do": {"task_fails": {}}}])
    with pytest.raises(ValidationError, match="applied_but_answer_lost"):
        Script.for_provider([{"do": {"applied_but_answer_lost": {}}}])


def test_an_act_that_waits_for_a_request_its_service_never_gets_is_refused() -> None:
    """It would never play, and a scenario would be green for nothing."""
    with pytest.raises(ValidationError, match="submit"):
        Script.for_provider([{"match": {"op": "reserve"}, "do": {"error": {}}}])
    with pytest.raises(ValidationError, match="reserve"):
        Script.for_billing([{"match": {"op": "submit"}, "do": {"error": {}}}])
    with pytest.raises(ValidationError, match="embed"):
        Script.for_chat([{"match": {"op": "submit"}, "do": {"error": {}}}])


@pytest.mark.parametrize("model", [ProviderDo, BillingDo])
def test_every_act_says_what_it_is(model: type[ProviderDo] | type[BillingDo]) -> None:
    """The schema carries each act's sentence, for editors and for the docs."""
    definitions = model.model_json_schema()["$defs"]
    assert all(definition.get("description") for definition in definitions.values())


def test_durations_are_text_in_the_schema() -> None:
    """So that an editor refuses a bare number before the loader does."""
    schema = BillingAct.model_json_schema(by_alias=True)
    assert schema["properties"]["from"]["type"] == "string"


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"units": "0.0000000001"}, "no whole number of nano-dollars"),
        *(({"units": units}, "not a decimal") for units in ("1e3", "1_0", " 1", "-1", "NaN", "\u0661", "")),
        ({"takes": "soon"}, "not a duration"),
        ({"outcome": "perhaps"}, "success"),
        ({"price": "1"}, "price"),
    ],
)
def test_a_mistake_in_a_plan_is_named(plan: dict[str, Any], words: str) -> None:
    """Above all one that would make the truth inexact."""
    with pytest.raises(ValidationError, match=words):
        TaskPlan.model_validate(plan)
