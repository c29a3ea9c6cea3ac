"""No credential is written down, wherever it stood and however it was spelled."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refgate.redaction import MASK, Redaction, is_credential

SECRETS = ("canary-provider-east", 'quo"ted\\key/of+bob', "canary-provider")
UNKNOWN = "presented-by-a-caller"
AROUND = st.text(max_size=30)


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


def encoded(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "in JSON": lambda text: json.dumps(text)[1:-1],
    "in JSON in JSON": lambda text: json.dumps(json.dumps(text))[1:-1],
    "with JSON's slash": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "escaped": escaped,
    "half escaped": lambda text: text[:3] + escaped(text[3:]),
    "escaped twice": lambda text: json.dumps(escaped(text))[1:-1],
    "in a URL": lambda text: quote(text, safe=""),
    "encoded": encoded,
    "encoded in small letters": lambda text: encoded(text).lower(),
    "encoded twice": lambda text: quote(encoded(text), safe=""),
}


def leaks(shown: str, secret: str) -> bool:
    """Whether somebody who reads it back, in any order of escapes, finds the secret."""
    seen, last = {shown}, shown
    for _ in range(4):
        last = unquote(last)
        last = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), last)
        last = re.sub(r'\\+(["\\/])', r"\1", last)
        seen.add(last)
    return any(secret in one for one in seen)


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(before=AROUND, secret=st.sampled_from([*SECRETS, UNKNOWN]), after=AROUND)
def test_no_known_secret_survives_however_it_is_spelled(
    spelling: str, before: str, secret: str, after: str
) -> None:
    """In any text, header or body; a caller's own key counts as known, whether anybody knows it or not."""
    redaction = Redaction(SECRETS).plus(UNKNOWN)
    text = before + SPELLINGS[spelling](secret) + after
    body, _ = redaction.body(text.encode("utf-8", "replace"), most=10_000)
    (header,) = redaction.headers([("x-note", text)])
    for shown in (redaction.known(text), redaction.text(text), body, header[1]):
        assert not leaks(shown, secret)


@given(before=AROUND, secret=st.sampled_from(SECRETS), most=st.integers(0, 80), whole=st.booleans())
def test_no_half_of_a_secret_is_left_by_a_cut(before: str, secret: str, most: int, whole: bool) -> None:
    """What is cut is redacted first: four letters of a secret in a row are too many."""
    raw = (before.replace("canary", "") + secret + "!" * 40).encode("utf-8", "replace")
    shown, cut = Redaction(SECRETS).body(raw, most=most, whole=whole)
    assert len(shown.encode()) <= most
    assert cut or whole
    assert not any(shown.endswith(secret[:length]) for length in range(4, len(secret) + 1))


@given(secret=st.sampled_from(SECRETS), read=st.integers(0, 300))
def test_the_end_of_what_was_not_read_to_its_end_is_left_out(secret: str, read: int) -> None:
    """It may be the beginning of a secret."""
    raw = ("." * 200 + secret + "." * 200).encode()[:read]
    shown, cut = Redaction(SECRETS).body(raw, most=1000, whole=False)
    assert cut
    assert not any(shown.endswith(secret[:length]) for length in range(3, len(secret) + 1))


@given(st.text(alphabet="aä€😀", max_size=40), st.integers(0, 120))
def test_a_cut_is_between_characters(text: str, most: int) -> None:
    """What is shown is the beginning of the text, as long as it may be."""
    shown, cut = Redaction(()).body(text.encode(), most=most)
    assert text.startswith(shown)
    assert cut == (shown != text) == (len(text.encode()) > most)
    assert most - 4 < len(shown.encode()) <= most or not cut


def test_a_large_body_is_looked_at_only_as_far_as_it_is_shown() -> None:
    """A hostile body costs no more than a small one."""
    redaction = Redaction(SECRETS)
    shown, cut = redaction.body(b"\\" * 5_000_000, most=1000)
    assert (len(shown), cut) == (1000, True)
    assert redaction.reach(1000) < 5_000


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "X-Api-Key",
        "x-goog-api-key",
        "api-key",
        "Cookie",
        "set-cookie",
        "proxy-authorization",
        "x-auth-token",
        "x-amz-security-token",
        "x-client-secret",
        "x-apikey",
        "x-session",
    ],
)
def test_headers_that_carry_credentials_lose_their_values(name: str) -> None:
    """Known or not: the name alone says so."""
    assert is_credential(name)
    assert Redaction(()).headers([(name, "whatever")]) == ((name.lower(), MASK),)


@pytest.mark.parametrize(
    "name", ["content-type", "retry-after", "x-ratelimit-remaining-tokens", "idempotency-key", "x-request-id"]
)
def test_other_headers_are_shown(name: str) -> None:
    """A log that hides everything helps nobody."""
    assert not is_credential(name)
    assert Redaction(()).headers([(name, "60")]) == ((name, "60"),)


def test_headers_are_in_order_of_their_names() -> None:
    """Two logs of one exchange are one text."""
    given_ = [("B", "2"), ("a", "3"), ("A", "1")]
    assert Redaction(()).headers(given_) == (("a", "1"), ("a", "3"), ("b", "2"))


STRANGER = "Zq8sT0unknown0key0of0nobody"


@pytest.mark.parametrize(
    "text",
    [
        f"GET https://x.test/v1?alt=sse&key={STRANGER}",
        f"https://x.test/?api_key={STRANGER}&x=1",
        f"https://x.test/?a=1&amp;access_token={STRANGER}#top",
        f'{{"api_key": "{STRANGER}", "x": 1}}',
        f'{{"client_secret":"{STRANGER}"}}',
        f'{{"password": "{STRANGER}',
        json.dumps({"arguments": json.dumps({"api-key": STRANGER})}),
        f"Authorization: Bearer {STRANGER}",
        f"incorrect key sk-{STRANGER} provided",
        f"AIza{STRANGER}{STRANGER}",
        f"eyJ{STRANGER}.{STRANGER}.{STRANGER}",
    ],
)
def test_an_unknown_credential_is_known_by_where_it_stands(text: str) -> None:
    """By the name before it, or by its looks; what stands around it stays."""
    shown = Redaction(()).text(text)
    assert STRANGER not in shown and MASK in shown
    assert shown[:3] == text[:3] or text.startswith(("AIza", "eyJ"))


def test_ordinary_words_are_left_alone() -> None:
    """Prompts speak of keys and tokens, too."""
    text = (
        '{"content":"the key to a basic understanding, a token of bearer bonds","max_tokens":5,"tokens":[1]}'
    )
    assert Redaction(SECRETS).plus("a").text(text) == text


def test_redaction_knows_nothing_by_default() -> None:
    """No secret, no change; none is made of one that is empty or already known."""
    redaction = Redaction(["", "canary-x"])
    assert redaction.plus(None, "", "canary-x") is redaction
    assert redaction.known("plain \\u0041 text") == "plain \\u0041 text"
    assert Redaction([]).known("plain") == "plain"
