"""A timeline tells of chats in words: who was asked, what was generated, what was heard."""

import pytest

from fakes.journal import ChatAccepted, ChatEnded, ChatRefused
from scenarios.history import Got, Heard, History, Left
from scenarios.report.words import words
from tests.scenarios.chat_toy import played

ASK = "send: chat, account: alice, model: small, stream: always"


@pytest.fixture(scope="module")
def history() -> History:
    acts = [
        "{until: 500ms, do: {rate_limited: {}}}",
        "{from: 500ms, until: 8s, count: 1, do: {cut_stream: {after_words: 2}}}",
    ]
    blocks = (f"{{{ASK}, retry: {{}}}}", f"{{{ASK}, via: openai, at: 9s, leaves_after_tokens: 3}}")
    return played(*blocks, acts=acts).history


@pytest.mark.parametrize(
    ("kind", "number", "says"),
    [
        (ChatRefused, 0, "refused #1 of n00001 for small: rate_limited"),
        (ChatAccepted, 0, "began #2 for n00001: a stream of small, 0 at work before"),
        (
            ChatEnded,
            0,
            "#2 for n00001 broken off, 2 tokens handed over: input 31, cache 0 + 0 + 0, output 2 + 0",
        ),
        (Got, 1, "call 1.2: chat → 200, then ProtocolBroken (info) after"),
        (Heard, 0, "call 1: heard ok, 6 events with content, ended by stop: [nonce:n00001 by east/3]"),
        (Heard, 1, "call 2: heard left, 3 events with content through the SDK of openai: [nonce:n00002"),
        (Left, 0, "call 2.1: left before the end of the answer to its chat"),
    ],
)
def test_what_happened_is_told(history: History, kind: type, number: int, says: str) -> None:
    """In one line, with what a reader looks for first."""
    assert words(history.of(kind)[number]).startswith(says)
