"""The money checks on fixed histories: what holds, each way to break it, and what was never reached."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fakes.journal import BillingFinalized, BillingRefused, BillingReserved, TaskEnded
from scenarios.checks import Finding, Verdict, all_checks, judge

CENT = 10_000_000
Tell = Callable[..., Any]
Judge = Callable[[str, Any], Finding]
BACKENDS = pytest.mark.parametrize("billing", ["embedded", "remote"])


@BACKENDS
def test_an_honest_story_breaks_nothing(story: Tell, billing: str) -> None:
    """Nobody is accused of anything in a plain story of three calls."""
    told = story(billing=billing).whole(1, key="k1").whole(2).whole(3, account="bob")
    for finding in judge(told.history(), told.declared):
        assert finding.verdict in (Verdict.HOLDS, Verdict.UNTESTED), finding


def test_an_empty_history_tests_nothing(story: Tell) -> None:
    """Where nothing happened, no check of money claims to have seen it hold."""
    told = story()
    told.read = False
    by_name = {one.check: one.verdict for one in judge(told.history(), told.declared)}
    for check in all_checks():
        if check.theme == "money":
            assert by_name[check.name] is Verdict.UNTESTED, check.name


@BACKENDS
def test_a_second_finalize_is_a_breach(story: Tell, judged: Judge, billing: str) -> None:
    """One call, two finalizes that billing applied: broken, with both as proof."""
    told = story(billing=billing).whole(1)
    told.finalize(1, again=":again")
    finding = judged("finalize-at-most-once", told)
    assert finding.verdict is Verdict.BROKEN
    assert "2 finalizes" in finding.sentence
    assert len(finding.evidence) >= 2


@BACKENDS
def test_two_holds_of_one_call_that_are_both_finalized_are_a_breach(
    story: Tell, judged: Judge, billing: str
) -> None:
    """At most one finalize is per call, not only per hold."""
    told = story(billing=billing).whole(1)
    told.reserve(9, call="c1")
    told.finalize(9)
    assert judged("finalize-at-most-once", told).verdict is Verdict.BROKEN


@BACKENDS
def test_a_hold_without_end_is_a_breach(story: Tell, judged: Judge, billing: str) -> None:
    """The claim was taken and billing never heard of it: the hold stays."""
    told = story(billing=billing).whole(1)
    told.submit(2)
    told.row(2, state="finalizing")
    told.ended("t2")
    finding = judged("every-hold-ends", told)
    assert finding.verdict is Verdict.BROKEN
    assert "h2" in finding.sentence
    assert "finalizing" in finding.sentence


@BACKENDS
def test_an_orphan_hold_is_a_breach(story: Tell, judged: Judge, billing: str) -> None:
    """A hold whose call is in nobody's record is never given back."""
    told = story(billing=billing).whole(1)
    told.reserve(9)
    finding = judged("every-hold-ends", told)
    assert finding.verdict is Verdict.BROKEN
    assert "not in the record" in finding.sentence


@BACKENDS
def test_an_unpolled_task_that_ended_must_end_its_hold(story: Tell, judged: Judge, billing: str) -> None:
    """Nobody polls, the task has ended, the deadlines have passed: the hold is due."""
    told = story(billing=billing)
    told.submit(1)
    told.row(1, state="running", outcome=None, amount_nanos=None)
    told.ended("t1")
    assert judged("every-hold-ends", told).verdict is Verdict.BROKEN


@BACKENDS
def test_a_hold_is_not_due_before_the_deadlines(story: Tell, judged: Judge, billing: str) -> None:
    """Shortly after calm an open hold says nothing yet."""
    told = story(billing=billing)
    told.submit(1)
    told.row(1, state="running", outcome=None, amount_nanos=None)
    told.ended("t1")
    told.settle_us = 1_000_000
    assert judged("every-hold-ends", told).verdict is Verdict.UNTESTED


def test_a_task_that_never_ends_keeps_its_hold_where_that_is_declared(story: Tell, judged: Judge) -> None:
    """keep_reconciling: the hold stays. release: at the deadline it must go."""
    for policy, verdict in (("keep_reconciling", Verdict.HOLDS), ("release", Verdict.BROKEN)):
        told = story(policies={"task_without_verdict": policy}).whole(2)
        told.submit(1)
        told.row(1, state="running", outcome=None, amount_nanos=None)
        assert judged("every-hold-ends", told).verdict is verdict


def test_no_calm_no_liveness(story: Tell, judged: Judge) -> None:
    """While faults may still be at work, no hold is judged."""
    told = story()
    told.submit(1)
    told.calm = False
    assert judged("every-hold-ends", told).verdict is Verdict.UNTESTED


def test_money_that_appears_is_a_breach(story: Tell, judged: Judge) -> None:
    """An account whose parts are not its grant; a transaction without counter-entry."""
    told = story().whole(1)
    assert judged("money-is-conserved", told).verdict is Verdict.HOLDS
    lost = story().whole(1)
    lost.entries = [entry for entry in lost.entries if entry["entry_id"] != "finalize:h1/available"]
    finding = judged("money-is-conserved", lost)
    assert finding.verdict is Verdict.BROKEN
    assert finding.broken >= 2  # the account and the transaction


def test_a_balance_unlike_its_entries_is_a_breach(story: Tell, judged: Judge) -> None:
    """The account's own columns agree with each other, and not with the ledger."""
    told = story().whole(1)
    plain = told.accounts
    told.accounts = lambda: [
        {**row, "settled_nanos": row["settled_nanos"] + 1, "available_nanos": row["available_nanos"] - 1}
        for row in plain()
    ]
    finding = judged("money-is-conserved", told)
    assert finding.verdict is Verdict.BROKEN
    assert "entries in available" in finding.sentence


@BACKENDS
@pytest.mark.parametrize("nanos", [-1, 501 * CENT])
def test_a_charge_out_of_bounds_is_a_breach(story: Tell, judged: Judge, billing: str, nanos: int) -> None:
    """Below nothing, or above the declared maximum."""
    told = story(billing=billing)
    told.submit(1)
    told.row(1, amount_nanos=nanos)
    told.ended("t1")
    told.finalize(1, nanos)
    assert judged("charge-in-bounds", told).verdict is Verdict.BROKEN


def test_capped_at_the_hold_means_at_most_the_hold(story: Tell, judged: Judge) -> None:
    """cap_at_hold declares the hold as the most a call may cost."""
    for nanos, verdict in ((30 * CENT, Verdict.HOLDS), (31 * CENT, Verdict.BROKEN)):
        told = story(policies={"usage_above_hold": "cap_at_hold"})
        told.submit(1)
        told.row(1, amount_nanos=nanos)
        told.ended("t1", units="0.31")
        told.finalize(1, nanos)
        assert judged("charge-in-bounds", told).verdict is verdict


def test_a_hold_unlike_its_route_is_a_breach(story: Tell, judged: Judge) -> None:
    """The route declares 0.30, and that is what is set aside."""
    told = story()
    told.submit(1)
    told.holds[0]["amount_nanos"] = 1
    told.row(1)
    assert judged("charge-in-bounds", told).verdict is Verdict.BROKEN


# What work costs.


@BACKENDS
def test_a_nano_dollar_too_much_is_a_breach(story: Tell, judged: Judge, billing: str) -> None:
    """The amount is exact: what a float would have made of it is wrong."""
    told = story(billing=billing)
    told.submit(1)
    told.row(1, amount_nanos=100_000_001)
    told.ended("t1", units="0.1")
    told.finalize(1, 100_000_001)
    finding = judged("cost-equals-tokens-times-price", told)
    assert finding.verdict is Verdict.BROKEN
    assert "0.100000001" in finding.sentence


@pytest.mark.parametrize(
    ("shown", "nanos"),
    [
        ("0.0000000005", 1),
        ("0.0000000004", 0),
        ("0.333333333333", 333_333_333),
        ("1e-1", 100_000_000),
        ("0", 0),
    ],
)
def test_the_product_is_rounded_once_half_up(story: Tell, judged: Judge, shown: str, nanos: int) -> None:
    """Half a nano-dollar is one; less is none."""
    for charged, verdict in ((nanos, Verdict.HOLDS), (nanos + 1, Verdict.BROKEN)):
        told = story()
        told.submit(1)
        told.row(1, amount_nanos=charged)
        told.ended("t1", usage_shown=shown)
        told.finalize(1, charged)
        assert judged("cost-equals-tokens-times-price", told).verdict is verdict


@pytest.mark.parametrize(
    "shown", [None, "", "-1", "NaN", "Infinity", "1e308", "5.01", "free", "true", "1_0", "٣"]
)
@pytest.mark.parametrize(("policy", "nanos"), [("hold", 30 * CENT), ("zero", 0), ("estimate", 20 * CENT)])
def test_hostile_usage_costs_what_the_policy_says(
    story: Tell, judged: Judge, shown: str | None, policy: str, nanos: int
) -> None:
    """Exactly that, and flagged: neither another amount nor silence."""
    for charged, flags, verdict in (
        (nanos, ["usage"], Verdict.HOLDS),
        (nanos, [], Verdict.BROKEN),
        (nanos + 1, ["usage"], Verdict.BROKEN),
    ):
        told = story(policies={"missing_usage": policy})
        told.submit(1)
        told.row(1, amount_nanos=charged, flags=flags)
        told.ended("t1", usage_shown=shown)
        told.finalize(1, charged)
        assert judged("cost-equals-tokens-times-price", told).verdict is verdict


def test_usage_above_the_hold_follows_the_policy(story: Tell, judged: Judge) -> None:
    """charge_actual: the price itself. cap_at_hold: the hold, flagged."""
    for policy, charged, flags, verdict in (
        ("charge_actual", 40 * CENT, [], Verdict.HOLDS),
        ("charge_actual", 30 * CENT, [], Verdict.BROKEN),
        ("cap_at_hold", 30 * CENT, ["capped"], Verdict.HOLDS),
        ("cap_at_hold", 30 * CENT, [], Verdict.BROKEN),
        ("cap_at_hold", 40 * CENT, ["capped"], Verdict.BROKEN),
    ):
        told = story(policies={"usage_above_hold": policy})
        told.submit(1)
        told.row(1, amount_nanos=charged, flags=flags)
        told.ended("t1", units="0.40")
        told.finalize(1, charged)
        assert judged("cost-equals-tokens-times-price", told).verdict is verdict


def test_a_flat_price_is_the_price(story: Tell, judged: Judge) -> None:
    """Whatever the answers show of usage."""
    query = {**provider_query(), "usage": {"flat": "0.40"}}
    for charged, verdict in ((40 * CENT, Verdict.HOLDS), (25 * CENT, Verdict.BROKEN)):
        told = story(providers={"rh": {**provider_parts(), "query": [query]}})
        told.submit(1)
        told.row(1, amount_nanos=charged)
        told.ended("t1")
        told.finalize(1, charged)
        assert judged("cost-equals-tokens-times-price", told).verdict is verdict


def provider_parts() -> dict[str, Any]:
    return {
        "base_url": "http://rh.test",
        "hold": "0.30",
        "submit": [{"match": "POST /v2/**", "task_id": "$.taskId"}],
    }


def provider_query() -> dict[str, Any]:
    return {
        "match": "POST /v2/query",
        "task_id": {"body": "$.taskId"},
        "status": "$.status",
        "success": ["SUCCESS"],
        "failure": ["FAILED"],
    }


def test_a_record_unlike_the_books_is_a_breach(story: Tell, judged: Judge) -> None:
    """Billing applied one amount and the calls table names another."""
    told = story().whole(1)
    told.calls[0]["amount_nanos"] += 1
    finding = judged("cost-equals-tokens-times-price", told)
    assert finding.verdict is Verdict.BROKEN
    assert "the record says" in finding.sentence


def test_where_the_provider_told_two_ends_the_one_a_caller_heard_first_counts(
    story: Tell, judged: Judge
) -> None:
    """Success, then failure: what the caller was told first is what is charged."""
    for charged, verdict in ((25 * CENT, Verdict.HOLDS), (0, Verdict.BROKEN)):
        told = story()
        told.submit(1)
        told.row(1, amount_nanos=charged)
        told.ended("t1")
        told.poll(1)
        told.poll(1, "FAILED", attempt=3)
        told.finalize(1, charged)
        assert judged("cost-equals-tokens-times-price", told).verdict is verdict


@pytest.mark.parametrize(
    ("failure_when", "charged", "flags", "verdict"),
    [
        ("$.error", 0, [], Verdict.HOLDS),
        ("$.error", 30 * CENT, ["usage"], Verdict.BROKEN),
        (None, 30 * CENT, ["usage"], Verdict.HOLDS),
        (None, 0, [], Verdict.BROKEN),
    ],
)
def test_an_error_beside_the_word_for_success_is_what_the_route_declares(
    story: Tell, judged: Judge, failure_when: str | None, charged: int, flags: list[str], verdict: Verdict
) -> None:
    """Where that place is declared it is a failure; else nobody can know, and the word counts."""
    told = story()
    provider = told.declared.providers["rh"]
    query = replace(provider.queries[0], failure_when=failure_when)
    told.declared = replace(told.declared, providers={"rh": replace(provider, queries=(query,))})
    told.submit(1)
    told.row(1, amount_nanos=charged, flags=flags)
    told.ended("t1", success=False)
    told.answered(told.received("poll", task_id="t1"), b"{}", shown="error")
    told.finalize(1, charged)
    assert judged("cost-equals-tokens-times-price", told).verdict is verdict


@pytest.mark.parametrize(
    ("status", "usage", "charged", "flags", "verdict"),
    [
        (200, "0.25", 25 * CENT, [], Verdict.HOLDS),
        (200, "0.25", 30 * CENT, ["usage"], Verdict.BROKEN),
        (200, None, 30 * CENT, ["usage"], Verdict.HOLDS),
        (422, None, 0, [], Verdict.HOLDS),
        (503, None, 30 * CENT, ["usage"], Verdict.HOLDS),
        (503, None, 25 * CENT, [], Verdict.BROKEN),
    ],
)
def test_usage_in_a_place_of_its_own_is_read_there(
    story: Tell,
    judged: Judge,
    status: int,
    usage: str | None,
    charged: int,
    flags: list[str],
    verdict: Verdict,
) -> None:
    """The poll says that it is over; the look-up says what it was, that it failed, or nothing at all."""
    told = story()
    provider = told.declared.providers["rh"]
    query = replace(provider.queries[0], usage=replace(provider.usages[0], fetched=True))
    told.declared = replace(told.declared, providers={"rh": replace(provider, queries=(query,))})
    told.submit(1)
    told.row(1, amount_nanos=charged, flags=flags)
    told.ended("t1", usage_shown="0.25")
    told.answered(told.received("poll", task_id="t1"), b"{}", shown="success")
    looked = told.received("result", task_id="t1", method="GET", path="/v2/results/t1")
    told.answered(looked, b"{}", status=status, usage_shown=usage)
    told.finalize(1, charged)
    assert judged("cost-equals-tokens-times-price", told).verdict is verdict


def test_work_that_billing_would_not_charge_afterwards_is_flagged(story: Tell, judged: Judge) -> None:
    """fail_open: admitted without a hold, and billing refused one later. Its row must say so."""
    for flags, verdict in ((["unbillable"], Verdict.HOLDS), ([], Verdict.BROKEN)):
        told = story(billing="remote", policies={"billing_unreachable": "fail_open"})
        told.submit(1)
        told.facts = [fact for fact in told.facts if not isinstance(fact, BillingReserved)]
        told.row(1, flags=flags, hold_id=None)
        told.ended("t1")
        assert judged("success-is-charged", told).verdict is verdict


@BACKENDS
def test_a_failure_that_costs_is_a_breach(story: Tell, judged: Judge, billing: str) -> None:
    """A failed task, and a call that never became one, are free."""
    for charged, verdict in ((0, Verdict.HOLDS), (1, Verdict.BROKEN)):
        told = story(billing=billing)
        told.submit(1)
        told.row(1, outcome="failed", amount_nanos=charged)
        told.ended("t1", success=False)
        told.finalize(1, charged)
        assert judged("failure-is-free", told).verdict is verdict


def test_a_charge_without_any_call_is_a_breach(story: Tell, judged: Judge) -> None:
    """Money that was taken for a call which the record does not know."""
    told = story(billing="remote")
    told.reserve(1)
    told.finalize(1)
    finding = judged("failure-is-free", told)
    assert finding.verdict is Verdict.BROKEN
    assert any(isinstance(fact, BillingFinalized) for fact in finding.evidence)


def test_successes_alone_do_not_test_failures(story: Tell, judged: Judge) -> None:
    """Where everything succeeded, it is not known whether failures are free."""
    assert judged("failure-is-free", story().whole(1)).verdict is Verdict.UNTESTED


@BACKENDS
def test_work_without_a_charge_is_a_breach(story: Tell, judged: Judge, billing: str) -> None:
    """A time-out is not a verdict: given back at once, and then the task succeeded."""
    told = story(billing=billing)
    sent = told.sent(1)
    told.reserve(1)
    received = told.received(nonce="n1")
    told.accepted(received, "t1")
    told.refused(
        sent,
        "outcome_unknown",
        504,
        headers=(("x-proxy-call-id", "c1"), ("x-refgate-error", "outcome_unknown")),
    )
    told.row(1, outcome="unreached", task_id=None, amount_nanos=0, reason="time_out")
    told.finalize(1, 0)
    told.ended("t1")
    finding = judged("success-is-charged", told)
    assert finding.verdict is Verdict.BROKEN
    assert any(isinstance(fact, TaskEnded) for fact in finding.evidence)


def test_a_release_by_policy_is_no_loss_once_its_deadline_passed(story: Tell, judged: Judge) -> None:
    """Expired, flagged, and not before its time; anything less is a breach."""
    for over, verdict in (
        ({}, Verdict.HOLDS),
        ({"flags": []}, Verdict.BROKEN),
        ({"updated_us": 60_000_000}, Verdict.BROKEN),
        ({"outcome": "refused"}, Verdict.BROKEN),
    ):
        told = story()
        sent = told.sent(1, key="k1")
        told.reserve(1)
        received = told.received(nonce="n1")
        told.accepted(received, "t1")
        told.got(sent, None)
        row = {
            "outcome": "expired",
            "task_id": None,
            "amount_nanos": 0,
            "flags": ["unverified"],
            "idempotency_key": "k1",
            "updated_us": 700_000_000,
        }
        told.row(1, **{**row, **over})
        told.finalize(1, 0)
        told.ended("t1")
        assert judged("success-is-charged", told).verdict is verdict, over


def test_a_call_that_nobody_can_name_may_stand_for_work_that_nobody_can_name(
    story: Tell, judged: Judge
) -> None:
    """No key, no answer, no task id: released calls and lost work are matched by number."""
    for lost, verdict in ((1, Verdict.HOLDS), (2, Verdict.BROKEN)):
        told = story()
        for number in range(1, lost + 1):
            sent = told.sent(number)
            received = told.received(nonce=f"n{number}")
            told.accepted(received, f"t{number}")
            told.got(sent, None)
            told.ended(f"t{number}")
        told.row(
            7, outcome="expired", task_id=None, amount_nanos=0, flags=["unverified"], updated_us=700_000_000
        )
        assert judged("success-is-charged", told).verdict is verdict


def test_a_release_without_having_asked_is_a_breach(story: Tell, judged: Judge) -> None:
    """The task had ended long before its deadline, and nobody looked."""
    for asked, verdict in ((False, Verdict.BROKEN), (True, Verdict.HOLDS)):
        told = story()
        parts = replace(told.declared.providers["rh"], swept=True)
        told.declared = replace(told.declared, providers={"rh": parts})
        told.submit(1)
        told.row(1, outcome="expired", amount_nanos=0, flags=["unverified"], updated_us=700_000_000)
        told.ended("t1")
        told.finalize(1, 0)
        if asked:
            told.attempt(told.received("poll", task_id="t1"), None, failure="read")
        assert judged("success-is-charged", told).verdict is verdict


def test_a_late_success_is_charged_once_when_it_was_seen(story: Tell, judged: Judge) -> None:
    """Released, then a caller polled it to success: a late row charges it, once."""
    for late_rows, verdict in ((0, Verdict.BROKEN), (1, Verdict.HOLDS)):
        told = story()
        told.submit(1)
        told.row(1, outcome="expired", amount_nanos=0, flags=["unverified"], updated_us=700_000_000)
        told.finalize(1, 0)
        told.ended("t1")
        told.poll(1)
        for number in range(2, 2 + late_rows):
            told.row(number, task_id=None, late_of="c1", flags=["late"])
            told.reserve(number, nanos=25 * CENT)
            told.finalize(number)
        assert judged("success-is-charged", told).verdict is verdict


def test_a_late_success_is_owed_though_the_calm_came_long_after(story: Tell, judged: Judge) -> None:
    """Delivery may wait for the end of the faults; that there is no row to deliver has no excuse."""
    told = story()
    told.submit(1)
    told.row(1, outcome="expired", amount_nanos=0, flags=["unverified"], updated_us=700_000_000)
    told.finalize(1, 0)
    told.ended("t1")
    told.poll(1)
    told.tick(3_600_000_000)
    told.settle_us = 1_000_000
    assert judged("success-is-charged", told).verdict is Verdict.BROKEN


def test_a_late_success_charged_beside_the_first_charge_is_a_breach(story: Tell, judged: Judge) -> None:
    """The task was charged on its own row and again as a late one."""
    told = story().whole(1)
    told.row(2, task_id=None, late_of="c1", flags=["late"])
    told.reserve(2)
    told.finalize(2)
    finding = judged("success-is-charged", told)
    assert finding.verdict is Verdict.BROKEN
    assert "2 times" in finding.sentence


def test_one_submit_that_started_two_tasks_is_charged_for_the_one_it_told_of(
    story: Tell, judged: Judge
) -> None:
    """The provider's mistake is not the caller's."""
    told = story().whole(1)
    first = next(fact for fact in told.facts if fact.kind == "task-accepted")
    told.add(replace(first, task_id="t1-twin"))
    told.ended("t1-twin")
    assert judged("success-is-charged", told).verdict is Verdict.HOLDS


# Budgets.


@BACKENDS
def test_a_hold_beyond_the_budget_is_a_breach(story: Tell, judged: Judge, billing: str) -> None:
    """Sixteen holds of 0.30 fit 5.00; the seventeenth does not."""
    for count, verdict in ((16, Verdict.HOLDS), (17, Verdict.BROKEN)):
        told = story(billing=billing)
        for number in range(1, count + 1):
            told.reserve(number)
        assert judged("budget-never-exceeded", told).verdict is verdict


def test_finished_work_may_cost_more_than_the_budget_left(story: Tell, judged: Judge) -> None:
    """charge_actual: the debt is recorded; only further holds are refused."""
    told = story()
    told.reserve(1)
    told.finalize(1, 600 * CENT)
    assert judged("budget-never-exceeded", told).verdict is Verdict.HOLDS
    told.reserve(2)
    assert judged("budget-never-exceeded", told).verdict is Verdict.BROKEN


def test_a_refusal_while_there_is_room_is_a_breach(story: Tell, judged: Judge) -> None:
    """402 with nothing held and nothing spent."""
    told = story()
    told.refused(told.sent(1), "insufficient_funds", 402)
    assert judged("no-phantom-refusal", told).verdict is Verdict.BROKEN
    full = story()
    for number in range(1, 17):
        full.reserve(number)
    full.refused(full.sent(20), "insufficient_funds", 402)
    assert judged("no-phantom-refusal", full).verdict is Verdict.HOLDS


def test_room_that_came_and_went_during_the_request_is_no_breach(story: Tell, judged: Judge) -> None:
    """Full when the request was judged, although a hold ended before its answer."""
    told = story()
    for number in range(1, 17):
        told.reserve(number)
    sent = told.sent(20)
    told.finalize(1, 0)
    told.refused(sent, "insufficient_funds", 402)
    assert judged("no-phantom-refusal", told).verdict is Verdict.HOLDS


def test_a_submit_without_a_hold_is_a_breach(story: Tell, judged: Judge) -> None:
    """fail_closed: nothing reaches the provider unheld. fail_open: it may, and the row is flagged."""
    for policy, flags, verdict in (
        ("fail_closed", [], Verdict.BROKEN),
        ("fail_closed", ["fail_open"], Verdict.BROKEN),
        ("fail_open", ["fail_open"], Verdict.HOLDS),
        ("fail_open", [], Verdict.BROKEN),
    ):
        told = story(billing="remote", policies={"billing_unreachable": policy})
        told.submit(1)
        told.facts = [fact for fact in told.facts if not isinstance(fact, BillingReserved)]
        told.row(1, flags=flags)
        assert judged("no-work-without-hold", told).verdict is verdict


@pytest.mark.parametrize(("when", "verdict"), [("before", Verdict.BROKEN), ("after", Verdict.HOLDS)])
def test_a_no_of_billing_is_no_outage(story: Tell, judged: Judge, when: str, verdict: Verdict) -> None:
    """fail_open is for a billing that gives no verdict; it said no, before or after."""
    told = story(billing="remote", policies={"billing_unreachable": "fail_open"})

    def says_no() -> None:
        asked = told.received("reserve", at="billing", path="/reserve", body=b'{"call_id":"c1"}')
        told.answered(asked, b'{"error":"insufficient_funds"}', status=402)

    told.tick()
    if when == "before":
        says_no()
    told.submit(1)
    if when == "after":
        says_no()
    told.facts = [fact for fact in told.facts if not isinstance(fact, BillingReserved)]
    told.row(1, flags=["fail_open"])
    assert judged("no-work-without-hold", told).verdict is verdict


def test_an_outage_that_an_act_played_explains_no_refusal(story: Tell, judged: Judge) -> None:
    """402 must be billing's own word: refused, not down."""
    for why, verdict in (
        ("act:down", Verdict.BROKEN),
        ("act:refuse", Verdict.HOLDS),
        ("insufficient_funds", Verdict.HOLDS),
    ):
        told = story(billing="remote")
        sent = told.sent(1)
        told.add(BillingRefused(t_us=told.tick(), at="billing", op="reserve", key="x", why=why))
        told.refused(sent, "insufficient_funds", 402)
        assert judged("no-phantom-refusal", told).verdict is verdict


def test_a_hold_taken_after_the_submit_is_a_breach(story: Tell, judged: Judge) -> None:
    """Reserve comes before the provider is touched."""
    told = story(billing="remote")
    told.submit(1)
    reserved = next(fact for fact in told.facts if isinstance(fact, BillingReserved))
    told.facts = [fact for fact in told.facts if fact is not reserved] + [replace(reserved, t_us=told.tick())]
    told.row(1)
    assert judged("no-work-without-hold", told).verdict is Verdict.BROKEN
