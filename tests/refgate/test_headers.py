"""Headers cross by allow-list, in both directions; what must never cross does not, whatever is declared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refgate.headers import may_be_allowed, to_caller, to_provider

NEVER_UPSTREAM = (
    "authorization",
    "cookie",
    "connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "host",
    "content-length",
    "x-thread-id",
    "x-idempotency-key",
    "x-forwarded-for",
    "forwarded",
)
NEVER_DOWN = (
    "set-cookie",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "www-authenticate",
    "proxy-authenticate",
    "x-proxy-call-id",
    "x-idempotent-replay",
    "x-refgate-error",
)
NAME = st.one_of(
    st.sampled_from([*NEVER_UPSTREAM, *NEVER_DOWN, "accept", "content-type", "x-extra", "x-custom", "etag"]),
    st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,12}", fullmatch=True),
).flatmap(lambda name: st.sampled_from([name, name.upper(), name.title()]))
PAIRS = st.lists(st.tuples(NAME, st.text(st.characters(codec="latin-1"), max_size=10)), max_size=12)
EXTRA = st.lists(st.sampled_from(["x-extra", "x-*", "authorization", "set-cookie", "*"]), max_size=3)


@given(PAIRS, EXTRA)
def test_nothing_forbidden_reaches_the_provider(pairs: list[tuple[str, str]], extra: list[str]) -> None:
    """The caller's credentials, cookies, account, key and hop-by-hop headers stay here."""
    sent = [name for name, _ in to_provider(pairs, extra=extra, auth="x-key")]
    assert not set(sent) & set(NEVER_UPSTREAM)
    assert sent.count("accept-encoding") == 1 and "x-key" not in sent


@given(PAIRS, EXTRA)
def test_nothing_forbidden_reaches_the_caller(pairs: list[tuple[str, str]], extra: list[str]) -> None:
    """Cookies, lengths and encodings of another body, and the gateway's own names stay behind."""
    assert not {name for name, _ in to_caller(pairs, extra=extra)} & set(NEVER_DOWN)


@given(PAIRS)
def test_what_nobody_named_does_not_cross(pairs: list[tuple[str, str]]) -> None:
    """An allow-list: an unknown header stays behind in either direction."""
    allowed = {"accept", "accept-language", "content-type", "prefer", "accept-encoding", "user-agent"}
    assert {name for name, _ in to_provider(pairs, extra=(), auth="authorization")} <= allowed
    down = {name for name, _ in to_caller(pairs, extra=())}
    assert not down & {"x-custom", "x-extra", "server", "accept"}


@given(PAIRS)
def test_no_value_can_begin_another_header(pairs: list[tuple[str, str]]) -> None:
    """A line break in a value ends nothing: the header is dropped."""
    everything = (*to_provider(pairs, extra=("x-*",), auth="a"), *to_caller(pairs, extra=("x-*",)))
    assert not any(set(value) & set("\r\n\0") for _, value in everything)


def test_headers_named_by_connection_stay_behind() -> None:
    """`Connection` names more hop-by-hop headers, also ones that would cross otherwise."""
    given = [
        ("Connection", "close, X-Extra, accept"),
        ("X-Extra", "1"),
        ("Accept", "text/html"),
        ("Prefer", "wait"),
    ]
    assert to_provider(given, extra=("x-extra",), auth="authorization")[0] == ("prefer", "wait")
    assert to_caller([("connection", "etag"), ("etag", "1"), ("content-type", "a/b")], extra=()) == (
        ("content-type", "a/b"),
    )


def test_the_order_of_repeated_headers_is_kept() -> None:
    """Two headers of one name are two headers, in their order, with lower-case names."""
    given = [("X-Fal-Note", "2"), ("Content-Type", "a/b"), ("x-fal-note", "1"), ("Retry-After", "30")]
    assert to_caller(given, extra=("x-fal-*",)) == (
        ("x-fal-note", "2"),
        ("content-type", "a/b"),
        ("x-fal-note", "1"),
        ("retry-after", "30"),
    )


def test_a_provider_is_asked_for_plain_bytes() -> None:
    """The caller's own wish for an encoding is not passed on: what is read here is measured here."""
    sent = dict(
        to_provider([("accept-encoding", "br"), ("user-agent", "curl")], extra=(), auth="authorization")
    )
    assert sent == {"accept": "*/*", "accept-encoding": "identity", "user-agent": "refgate"}


@pytest.mark.parametrize("name", ["cookie", "authorization", "connection", "content-length", "*", "**"])
def test_an_allow_list_may_not_name_everything_or_the_forbidden(name: str) -> None:
    """Such an entry would have no effect, or all of them."""
    assert not may_be_allowed(name)
    assert may_be_allowed("x-fal-*")
