"""One completion, five protocols, one bill: the figures differ in words and never in truth."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from fakes.journal import ChatEnded, line
from tests.fakes.chat_stage import PATHS, ChatStage, chat_body, with_chat

ALL = ("openai", "anthropic", "gemini")
PRICES = {
    "input": "3",
    "output": "15",
    "cache_read": "0.3",
    "cache_write_5m": "3.75",
    "cache_write_1h": "6",
    "input_audio": "40",
    "reasoning": "16",
}
PLAN = {"models": {"m": {"prices": PRICES}}, "words": 6, "first": "100ms", "between": "10ms"}
FIGURES = {
    "prompt": 1000,
    "cache_read": 300,
    "cache_write_5m": 100,
    "cache_write_1h": 50,
    "input_audio": 20,
    "reasoning": 7,
}
CLASSES = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio")


def asked(kind: str, *, stream: bool) -> tuple[str, dict[str, Any], str]:
    """The path, the body and the vendor of one protocol."""
    vendor = "openai" if kind == "responses" else kind
    if kind == "gemini":
        return PATHS["gemini_stream" if stream else "gemini"], chat_body("gemini"), vendor
    body = chat_body(kind, stream=stream)
    if kind == "openai" and stream:
        body["stream_options"] = {"include_usage": True}
    return PATHS[kind], body, vendor


def read_back(kind: str, usage: dict[str, Any]) -> tuple[int, int]:
    """Input and output tokens in all, by the vendor's own rules."""
    match kind:
        case "openai":
            return usage["prompt_tokens"], usage["completion_tokens"]
        case "responses":
            return usage["input_tokens"], usage["output_tokens"]
        case "anthropic":
            cached = usage["cache_creation_input_tokens"] + usage["cache_read_input_tokens"]
            return usage["input_tokens"] + cached, usage["output_tokens"]
        case _:
            thoughts = usage.get("thoughtsTokenCount", 0)
            return usage["promptTokenCount"], usage["candidatesTokenCount"] + thoughts


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["openai", "responses", "anthropic", "gemini"])
def test_every_protocol_bills_the_same_and_says_so_in_its_own_way(kind: str, stream: bool) -> None:
    """Disjoint classes in the journal; each vendor's usage adds up to them by its own rule."""

    async def main(stage: ChatStage) -> None:
        path, body, vendor = asked(kind, stream=stream)
        await stage.listen(path, body, vendor=vendor)
        ended = stage.ended
        assert [getattr(ended, name) for name in CLASSES] == [530, 300, 100, 50, 20]
        assert (ended.output_text, ended.output_reasoning) == (7, 7)
        exact = 530 * 3000 + 300 * 300 + 100 * 3750 + 50 * 6000 + 20 * 40_000 + 7 * 15_000 + 7 * 16_000
        assert (ended.cost_nanos, ended.t_us, ended.complete) == (exact, 230_000, True)
        assert ended.usage_shown is not None
        assert read_back(kind, json.loads(ended.usage_shown)) == (1000, 14)

    with_chat(main, ALL, plan=PLAN, acts=[{"do": {"completes": FIGURES}}])


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_words_count_the_same_in_every_protocol(stream: bool) -> None:
    """One host speaks them all; the prompt is counted alike, and says whose it is."""

    async def main(stage: ChatStage) -> list[tuple[int, str | None, str]]:
        seen = []
        for kind in ("openai", "responses", "anthropic", "gemini"):
            path, body, vendor = asked(kind, stream=stream)
            heard = await stage.listen(path, body, vendor=vendor)
            ended = stage.facts(ChatEnded)[-1]
            assert heard.status == 200 and f"[nonce:abc by p/{ended.seq}]" in heard.text
            seen.append((ended.input_uncached, ended.nonce, ended.kind))
        return seen

    assert with_chat(main, ALL) == [(7, "abc", "chat-ended")] * 4


@pytest.mark.parametrize("kind", ["openai", "responses", "anthropic", "gemini"])
@pytest.mark.parametrize(
    "do",
    [
        {"cut_stream": {"after_words": 3}},
        {"truncated": {"after_words": 3}},
        {"stream_error": {"after_words": 3}},
        {"cut_stream": {"after_words": 2, "in_character": True}},
    ],
)
def test_half_a_stream_costs_the_same_in_every_protocol(kind: str, do: Any) -> None:
    """What was made until then, reasoning and all, shown or not."""

    async def main(stage: ChatStage) -> None:
        path, body, vendor = asked(kind, stream=True)
        await stage.listen(path, body, vendor=vendor)
        ended = stage.ended
        assert (ended.output_text, ended.output_reasoning, ended.complete) == (3, 7, False)
        assert ended.delivered in (2 + 7, 3 + 7)
        assert ended.text.count(" ") < 7

    with_chat(main, ALL, plan=PLAN, acts=[{"do": do}, {"do": {"completes": {"reasoning": 7}}}])


STORM = """
import hashlib
from tests.fakes.test_chat_one_bill import storm
print(hashlib.sha256("\\n".join(storm()).encode()).hexdigest())
"""


def storm() -> list[str]:
    """Forty calls in four protocols under five acts, as the lines of the journal."""

    async def main(stage: ChatStage) -> list[str]:
        for number in range(40):
            kind = ("openai", "responses", "anthropic", "gemini")[number % 4]
            path, body, vendor = asked(kind, stream=number % 3 == 0)
            await stage.listen(path, body, vendor=vendor, timeout_us=400_000)
        return [line(fact) for fact in stage.journal]

    kinds: list[Any] = [{"rate_limited": {"retry_after": "2s", "form": "date"}}, {"reset": {}}, {"error": {}}]
    acts = [{"chance": 0.2, "do": do} for do in kinds]
    acts.append({"chance": 0.4, "do": {"stream_error": {"after_words": 2}}})
    acts.append({"chance": 0.4, "do": {"usage": {"shown": "missing"}}})
    plan = PLAN | {"first_jitter": "90ms", "limits": {"rpm": 30, "start": "seeded"}}
    return with_chat(main, ALL, plan=plan, acts=acts, seed=7)


def test_a_run_is_the_same_in_every_process() -> None:
    """Line by line, whatever the order of hashes."""
    digests = [
        subprocess.run(
            [sys.executable, "-c", STORM],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert digests[0] == digests[1] and len(digests[0].strip()) == 64


def test_every_fact_has_its_line() -> None:
    """Plain values only."""
    lines = storm()
    assert any('"kind":"chat-ended"' in one for one in lines)
    assert all(json.loads(one)["kind"] for one in lines)
