"""Which caller's key a client carries when it acts for an account."""

from typing import Any

from scenarios.clients.arrivals import caller_headers
from scenarios.gateways import caller_of

CONFIG: dict[str, Any] = {
    "callers": {
        "alice": {"accounts": ["alice", "shared"]},
        "teams": {"accounts": ["team-blue", "team-*"]},
    }
}


def test_a_caller_of_that_name_comes_first() -> None:
    """An account named like a caller is that caller's."""
    assert caller_of(CONFIG, "alice") == "alice"


def test_an_account_belongs_to_the_caller_who_lists_it() -> None:
    """By its name, or by a glob, as the gateway's configuration allows."""
    assert caller_of(CONFIG, "shared") == "alice"
    assert caller_of(CONFIG, "team-red") == "teams"


def test_an_account_of_nobody_has_no_caller() -> None:
    """A stranger carries a key of his own, which the gateway does not know."""
    assert caller_of(CONFIG, "nobody") is None
    assert dict(caller_headers(CONFIG, "nobody", {}))["authorization"] == "Bearer canary-caller-nobody"
