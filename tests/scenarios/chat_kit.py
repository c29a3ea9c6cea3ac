"""Small histories of chats told fact by fact, as an honest gateway and its backends would leave them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fakes.journal import ActPlayed, Answered, ChatAccepted, ChatEnded, ChatRefused, Received
from scenarios.checks import Check, Finding, Verdict, all_checks
from scenarios.declared.gateway import Declared
from scenarios.history import Got, Heard, Left, Sent
from tests.scenarios.conftest import CONFIG, SECOND, Story

__all__ = [
    "COST",
    "HOLD",
    "MS",
    "PATHS",
    "SECOND",
    "ChatStory",
    "breaches",
    "chat_config",
    "found",
    "verdict",
]

MS = 1_000
COST = 18_000  # 20 tokens in at 0.30 a million, 20 out at 0.60
HOLD = 1_000_000
PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "openai_embeddings": "/v1/embeddings",
}
_DIALECTS = {"east": "openai_chat", "west": "openai_chat", "rome": "anthropic"}
_CHAT: dict[str, Any] = {
    "backends": {
        "east": {"dialect": "openai", "base_url": "http://east.test/v1", "key": {"env": "EAST_KEY"}},
        "west": {"dialect": "openai", "base_url": "http://west.test/v1", "key": {"env": "WEST_KEY"}},
        "rome": {"dialect": "anthropic", "base_url": "http://rome.test/v1", "key": {"env": "ROME_KEY"}},
    },
    "models": {
        "small": {
            "aliases": ["tiny"],
            "pools": [
                {"name": "main", "primary": True, "backends": [{"backend": "east", "model": "mini"}]},
                {"name": "next", "backends": [{"backend": "west", "model": "mini"}]},
                {"name": "spare", "backends": [{"backend": "rome", "model": "haiku"}]},
            ],
            "output_max": 100,
        }
    },
    "prices": {
        "mini": {"input": "0.30", "output": "0.60", "cache_read": "0.15"},
        "haiku": {"input": "1", "output": "5", "cache_write_5m": "1.25", "cache_write_1h": "2"},
    },
}
_CHECKS: dict[str, Check] = {check.name: check for check in all_checks()}
_CLASSES = (
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "input_audio",
    "output",
    "output_audio",
    "reasoning",
    "web_searches",
)


def chat_config(**parts: Any) -> dict[str, Any]:
    """The usual configuration with some parts merged over it; `cache`, `chat` … as in a file."""
    merged: dict[str, Any] = {**CONFIG, **_CHAT}
    for name, part in parts.items():
        merged[name] = {**merged.get(name, {}), **part}
    return merged


@dataclass
class ChatStory(Story):
    """Facts in order, and the rows of the tables of chat."""

    declared: Declared = field(default_factory=lambda: Declared.read(chat_config()))
    chats: list[dict[str, Any]] = field(default_factory=list)
    chat_attempts: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    debug: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def under(cls, **parts: Any) -> ChatStory:
        """A story under the usual configuration with some parts replaced."""
        return cls(Declared.read(chat_config(**parts)))

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        chats = {
            "chats": self.chats,
            "chat_attempts": self.chat_attempts,
            "requests": self.requests,
            "debug": self.debug,
        }
        return super().tables() | chats

    # Clients.

    def asks(
        self,
        number: int,
        *,
        protocol: str = "openai_chat",
        stream: bool = False,
        model: str = "small",
        **over: Any,
    ) -> Sent:
        asked = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "x" * 400}]}
        body = over.pop("body", None) or json.dumps({**asked, **over.pop("fields", {})}).encode()
        shown = {"op": "chat", "path": PATHS[protocol], "provider": None, "body": body}
        return self.sent(number, over.pop("attempt", 1), **{**shown, **over})

    def hears(
        self, sent: Sent, status: int = 200, body: bytes | None = None, *, call: str = "", **over: Any
    ) -> Got:
        """The answer as it arrives, under its call's id."""
        body = b'{"choices":[]}' if body is None else body
        more = over.pop("more", ())
        call = call or f"c{sent.call}"
        named = (("content-type", "application/json"), ("x-request-id", call), ("x-proxy-call-id", call))
        return self.got(sent, status, body, headers=(*named, *more), **over)

    def told(self, sent: Sent, code: str, status: int, *more: tuple[str, str], **over: Any) -> Got:
        """An error of the gateway's own, in OpenAI's shape."""
        error = {"message": "no", "type": "server_error", "param": None, "code": code}
        body = json.dumps({"error": error}).encode()
        return self.hears(sent, status, body, more=(("x-refgate-error", code), *more), **over)

    def leaves(self, sent: Sent, after_us: int = 100 * MS) -> Left:
        return self.add(
            Left(t_us=self.tick(after_us), at=sent.at, call=sent.call, attempt=sent.attempt, op=sent.op)
        )

    def understood(self, sent: Sent, text: str = "", **over: Any) -> Heard:
        """What the client made of it in the end."""
        shown: dict[str, Any] = {
            "t_us": self.tick(),
            "at": sent.at,
            "call": sent.call,
            "attempt": sent.attempt,
            "via": "plain",
            "protocol": "openai_chat",
            "model": "small",
            "stream": b'"stream": true' in sent.body,
            "outcome": "ok",
            "error": None,
            "status": 200,
            "text": text,
            "finish": "stop",
            "usage": None,
            "tokens": 1,
            "first_us": self.now_us,
            "complete": True,
            "call_id": f"c{sent.call}",
        }
        return self.add(Heard(**{**shown, **over}))

    # Backends.

    def reaches(self, number: int, backend: str = "east", *, accepted: bool = True, **over: Any) -> Received:
        """The backend receives the question, and takes it on."""
        key = ("x-api-key", f"canary-provider-{backend}") if backend == "rome" else None
        own = key or ("authorization", f"Bearer canary-provider-{backend}")
        stream = bool(over.pop("stream", False))
        shown: dict[str, Any] = {"at": backend, "nonce": f"n{number}", "path": "/v1/chat/completions"}
        received = self.received("chat", **{**shown, "headers": (own, ("host", f"{backend}.test")), **over})
        if accepted:
            self.add(
                ChatAccepted(
                    t_us=self.now_us,
                    at=backend,
                    seq=received.seq,
                    nonce=received.nonce,
                    model="haiku" if backend == "rome" else "mini",
                    dialect=_DIALECTS[backend],
                    stream=stream,
                    running=0,
                )
            )
        return received

    def says(self, received: Received, *, answer: bool = True, **over: Any) -> ChatEnded:
        """The work ends, and the answer with it: 20 tokens in and 20 out, told honestly."""
        tokens = {
            "input_uncached": 20,
            "cache_read": 0,
            "cache_write_5m": 0,
            "cache_write_1h": 0,
            "input_audio": 0,
            "output_text": 20,
            "output_reasoning": 0,
            "output_audio": 0,
        }
        tokens |= {name: over.pop(name) for name in list(over) if name in tokens}
        shown: dict[str, Any] = {
            "t_us": self.tick(SECOND),
            "at": received.at,
            "seq": received.seq,
            "nonce": received.nonce,
            "model": "haiku" if received.at == "rome" else "mini",
            **tokens,
            "cost_nanos": COST,
            "billed": True,
            "complete": True,
            "delivered": tokens["output_text"] + tokens["output_reasoning"],
            "events": 0,
            "text": f"[nonce:{received.nonce} by {received.at}/{received.seq}] some words",
            "usage_shown": json.dumps(usage_of(_DIALECTS[received.at], tokens)),
        }
        ended: ChatEnded = self.add(ChatEnded(**{**shown, **over}))
        if answer:
            self.answered(received, complete=ended.complete)
        return ended

    def refuses(
        self,
        received: Received,
        status: int = 429,
        headers: tuple[tuple[str, str], ...] = (),
        reason: str = "rate_limited",
    ) -> Answered:
        self.add(
            ChatRefused(
                t_us=self.tick(),
                at=received.at,
                seq=received.seq,
                nonce=received.nonce,
                model="mini",
                dialect=_DIALECTS[received.at],
                reason=reason,
            )
        )
        return self.answered(received, b"{}", status, headers=headers)

    def plays(self, received: Received, act: str) -> None:
        self.add(ActPlayed(t_us=self.now_us, at=received.at, seq=received.seq, act=act))

    # The record.

    def tried(self, number: int, received: Received | None, **over: Any) -> dict[str, Any]:
        """The row of an attempt that brought the answer."""
        backend = over.get("backend") or (received.at if received is not None else "east")
        mine = [one for one in self.chat_attempts if one["call_id"] == f"c{number}"]
        shown: dict[str, Any] = {
            "attempt_id": f"c{number}-{len(mine) + 1}",
            "call_id": f"c{number}",
            "number": len(mine) + 1,
            "backend": backend,
            "pool": "main",
            "lane": "pool",
            "model": "haiku" if backend == "rome" else "mini",
            "served_model": "haiku" if backend == "rome" else "mini",
            "status": 200,
            "failure": None,
            "ambiguous": False,
            "retry_after_us": None,
            "usage_source": "reported",
            **dict.fromkeys(_CLASSES, 0),
            "input": 20,
            "output": 20,
            "cost_nanos": COST,
            "price_from_us": 0,
            "started_us": (received.t_us if received is not None else self.now_us) - 5 * MS,
            "first_token_us": None,
            "ended_us": self.now_us + 5 * MS,
        }
        self.chat_attempts.append({**shown, **over})
        return self.chat_attempts[-1]

    def failed(self, number: int, received: Received | None, failure: str, **over: Any) -> dict[str, Any]:
        """The row of an attempt that did not."""
        none = {"usage_source": "none", "input": 0, "output": 0, "cost_nanos": 0, "served_model": None}
        return self.tried(number, received, **{"failure": failure, "status": None, **none, **over})

    def noted(self, number: int, **over: Any) -> dict[str, Any]:
        """The call's row, of one that was served, and its row in the request log."""
        mine = [one for one in self.chat_attempts if one["call_id"] == f"c{number}"]
        last = mine[-1] if mine else None
        shown: dict[str, Any] = {
            "call_id": f"c{number}",
            "account": "alice",
            "caller": "alice",
            "protocol": "openai_chat",
            "model": "small",
            "stream": False,
            "state": "ended",
            "outcome": "served",
            "reason": "served",
            "status": 200,
            "backend": last["backend"] if last else None,
            "upstream_model": last["model"] if last else None,
            "served_model": last["served_model"] if last else None,
            "hold_id": f"h{number}",
            "hold_nanos": HOLD,
            "amount_nanos": COST,
            "price_from_us": 0,
            "usage_source": "reported",
            **dict.fromkeys(_CLASSES, 0),
            "input": 20,
            "output": 20,
            "flags": [],
            "cache": None,
            "attempts": len(mine),
            "created_us": min((one["started_us"] for one in mine), default=self.now_us) - MS,
            "first_token_us": None,
            "ended_us": self.now_us,
        }
        row = {**shown, **over}
        self.chats.append(row)
        self.logged(number, account=row["account"], status=row["status"], amount_nanos=row["amount_nanos"])
        return row

    def logged(self, number: int, **over: Any) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "request_id": f"c{number}",
            "call_id": f"c{number}",
            "at_us": self.now_us,
            "caller": "alice",
            "account": "alice",
            "protocol": "openai_chat",
            "model": "small",
            "stream": False,
            "outcome": "served",
            "code": None,
            "status": 200,
            "backend": "east",
            "attempts": 1,
            "amount_nanos": COST,
            "cache": None,
            "duration_us": SECOND,
        }
        self.requests.append({**shown, **over})
        return self.requests[-1]

    # Whole stories.

    def served(
        self,
        number: int = 1,
        backend: str = "east",
        *,
        nanos: int = COST,
        account: str = "alice",
        **over: Any,
    ) -> Received:
        """A call from its question to its charge."""
        tokens: Mapping[str, Any] = over.pop("tokens", {})
        columns: Mapping[str, Any] = over.pop("columns", {})
        stream = bool(over.get("stream", False))
        sent = self.asks(number, account=account, **over)
        self.reserve(number, HOLD, account=account, call=f"c{number}")
        received = self.reaches(number, backend, stream=stream, nonce=sent.nonce)
        ended = self.says(received, **tokens)
        self.tried(number, received, cost_nanos=nanos, **columns)
        self.finalize(number, nanos, account=account)
        protocol = over.get("protocol", "openai_chat")
        self.noted(number, account=account, amount_nanos=nanos, protocol=protocol, stream=stream, **columns)
        self.hears(sent)
        self.understood(sent, ended.text, protocol=protocol, stream=stream)
        return received


def usage_of(dialect: str, tokens: Mapping[str, int]) -> dict[str, Any]:
    """Honest usage, in a vendor's words."""
    went_in = sum(tokens[name] for name in tokens if name.startswith(("input", "cache")))
    came_out = sum(tokens[name] for name in tokens if name.startswith("output"))
    written = tokens["cache_write_5m"] + tokens["cache_write_1h"]
    if dialect == "anthropic":
        return {
            "input_tokens": tokens["input_uncached"] + tokens["input_audio"],
            "cache_read_input_tokens": tokens["cache_read"],
            "cache_creation_input_tokens": written,
            "output_tokens": came_out,
        }
    return {
        "prompt_tokens": went_in,
        "completion_tokens": came_out,
        "total_tokens": went_in + came_out,
        "prompt_tokens_details": {"cached_tokens": tokens["cache_read"]},
    }


def found(name: str, told: Story) -> Finding:
    return _CHECKS[name].function(told.history(), told.declared)


def verdict(name: str, told: Story) -> Verdict:
    """What one check says of a story."""
    return found(name, told).verdict


def breaches(name: str, told: Story) -> str:
    """All that one check found broken in a story, as text."""
    return "\n".join(one.sentence for one in found(name, told).breaches)
