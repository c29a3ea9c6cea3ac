"""What the checks read out of a gateway's configuration, and how they read bodies and prices."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.checks.pricing import price
from scenarios.checks.reading import first_at, read_json
from scenarios.declared.gateway import Account, Declared
from scenarios.declared.providers import Pattern, Usage
from scenarios.gateways import FOLDER, names
from scenarios.yamlish import read

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("pattern", "method", "path", "captures"),
    [
        ("POST /v2/query", "POST", "/v2/query", {}),
        ("POST /v2/query", "GET", "/v2/query", None),
        ("POST /v2/query", "POST", "/v2/query/x", None),
        ("ANY /**", "DELETE", "/a/b/c", {}),
        ("POST /v2/**", "POST", "/v2/a/b", {}),
        ("POST /v2/**", "POST", "/v3/a", None),
        ("GET /v1/*/x", "GET", "/v1/a/x", {}),
        ("GET /v1/*/x", "GET", "/v1/a/b/x", None),
        ("GET /v1/videos/{kind}/{task_id}", "GET", "/v1/videos/a/t1", {"kind": "a", "task_id": "t1"}),
        ("GET /v1.0/x", "GET", "/v1a0/x", None),
    ],
)
def test_patterns(pattern: str, method: str, path: str, captures: dict[str, str] | None) -> None:
    """One segment, the rest, a named segment; dots are dots."""
    assert Pattern(pattern).captures(method, path) == captures


@pytest.mark.parametrize("name", names())
def test_every_configuration_of_the_suite_is_read(name: str) -> None:
    """Its providers, with their routes, holds and prices; an unpriced route would judge nothing."""
    config, _ = read((FOLDER / name).read_text(encoding="utf-8"))
    declared = Declared.read(config)
    assert declared.providers or declared.chat is not None
    for provider in declared.providers.values():
        assert provider.host.endswith(".test")
        assert provider.submits
        assert provider.queries
        assert provider.auth_header == "authorization"
        assert provider.swept
        assert all(submit.hold_nanos > 0 for submit in provider.submits)
        assert all(usage.flat_nanos or usage.unit_price > 0 for usage in provider.usages)
        assert all(query.success and query.status for query in provider.queries)


def test_what_is_declared_is_read() -> None:
    """Spans, sizes, amounts and policies, and defaults where nothing is said."""
    config: dict[str, Any] = {
        "billing": {"kind": "embedded", "accounts": {"alice": {"grant": "10.00", "budget": "2.50"}}},
        "policies": {"missing_usage": "zero"},
        "limits": {"request_body": "2MiB"},
        "timeouts": {"total": "20s"},
        "idempotency": {"keep": "1h"},
        "reconcile": {"poll_after": "10s"},
        "providers": {"off": {"enabled": False, "base_url": "http://off.test"}},
    }
    declared = Declared.read(config, epoch_us=7)
    assert declared.accounts == {"alice": Account(10_000_000_000, 2_500_000_000)}
    assert declared.accounts["alice"].cap_nanos == 2_500_000_000
    assert declared.missing_usage == "zero"
    assert declared.request_body_max == 2 << 20
    assert declared.total_us == 20 * SECOND
    assert declared.key_keep_us == 3600 * SECOND
    assert declared.poll_after_us == 10 * SECOND
    assert declared.epoch_us == 7
    assert declared.providers == {}
    assert declared.billing_unreachable == "fail_closed"


def test_a_remote_services_grants_are_given() -> None:
    """The scenario names them; the gateway's configuration does not."""
    declared = Declared.read({"billing": {"kind": "remote", "timeout": "2s"}}, grants={"alice": 5})
    assert declared.accounts == {"alice": Account(5)}
    assert declared.billing_timeout_us == 2 * SECOND


def test_queries_and_results_come_before_submits() -> None:
    """A poll below the tree of the submits is no submit."""
    config, _ = read((FOLDER / "runninghub.yaml").read_text(encoding="utf-8"))
    provider = Declared.read(config).providers["rh"]
    assert provider.submit_for("POST", "/openapi/v2/query") is None
    assert provider.look_for("POST", "/openapi/v2/query") is not None
    submit = provider.submit_for("POST", "/openapi/v2/video")
    assert submit is not None
    assert submit.hold_nanos == 300_000_000


@given(units=st.fractions(min_value=0, max_value=1000).map(lambda f: Fraction(round(f * 10**12), 10**12)))
def test_a_price_is_the_exact_product_rounded_half_up(units: Fraction) -> None:
    """Off by at most half a nano-dollar, and upwards at the half."""
    text = f"{units.numerator * 10**12 // units.denominator:013d}"
    shown = f"{text[:-12]}.{text[-12:]}"
    usage = Usage(unit_price=Fraction(3, 7))
    nanos = price(shown, usage)
    assert nanos is not None
    exact = units * Fraction(3, 7) * 10**9
    assert Fraction(-1, 2) < nanos - exact <= Fraction(1, 2)


def test_numbers_are_read_exactly() -> None:
    """No float on the way; what is no JSON is nothing."""
    body = read_json(b'{"a": {"b": 0.1}}')
    assert str(first_at("$.a.b", body)) == "0.1"
    assert first_at("$.a.c", body) is None
    assert first_at("$.a", read_json(b"<html>")) is None
    assert read_json(b"[" * 100_000) is None
