"""`refgate serve` as a process of its own, before fake providers of three vendors on real ports."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes.acts.script import Script
from fakes.chat import ChatPlan, ChatProvider
from fakes.journal import Journal
from fakes.server import serve

__all__ = ["ACTS", "Served", "served"]

VENDORS = {"east": "openai", "rome": "anthropic", "tokyo": "gemini"}
PLAN = {"words": 4, "first": "1ms", "between": "1ms", "prompt": 10}

# Models that are ill. Where a stream breaks the gateway must have had time to hand on what came before:
# words and error that reach it in one read are, rightly, a try that failed unheard.
ACTS: dict[str, dict[str, Any]] = {
    "limited": {"rate_limited": {"retry_after": "30s"}},
    "broken": {"stream_error": {"after_words": 2, "error": "server"}},
    "cut": {"cut_stream": {"after_words": 2}},
    "silent": {"never_answers": {}},
    "picky": {"error": {"status": 400, "message": "no such temperature"}},
    "locked": {"error": {"status": 401}},
}
_SLOWLY = {model: {"takes": {"between": "150ms"}} for model in ("broken", "cut")}
SECRETS = {
    **{f"{name.upper()}_KEY": f"canary-provider-{name}" for name in VENDORS},
    "ALICE_KEY": "canary-caller-alice",
    "POOR_KEY": "canary-caller-poor",
    "ADMIN_KEY": "canary-admin",
}


@dataclass
class Served:
    """The gateway's address, its process, and what it wrote."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def events(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Everything up; at the end the gateway is told to stop, and must, within a few seconds."""
    with _providers() as urls:
        file, log = folder / "gateway.yaml", folder / "gateway.log"
        file.write_text(json.dumps(_configuration(urls, folder)))
        command = [
            sys.executable,
            "-c",
            "from refgate.cli import main; main()",
            "serve",
            "--config",
            str(file),
        ]
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **SECRETS})
        try:
            there = Served("", process, log)
            there.url = f"http://127.0.0.1:{_port(there)}"
            yield there
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            finally:
                process.kill()
                process.wait()


def _configuration(urls: dict[str, str], folder: Path) -> dict[str, Any]:
    versions = {"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta"}
    backends = {
        name: {
            "dialect": vendor,
            "base_url": urls[name] + versions[vendor],
            "key": {"env": f"{name.upper()}_KEY"},
        }
        for name, vendor in VENDORS.items()
    }
    for ill in ACTS:
        backends[ill] = {**backends["east"], "key": {"env": "EAST_KEY"}}
    backends["gone"] = {**backends["east"], "base_url": f"http://127.0.0.1:{_free_port()}/v1"}
    return {
        "listen": {"port": 0},
        "store": {"path": str(folder / "store.sqlite")},
        "admin": {"key": {"env": "ADMIN_KEY"}},
        "callers": {
            name: {"key": {"env": f"{name.upper()}_KEY"}, "accounts": [name]} for name in ("alice", "poor")
        },
        "billing": {
            "kind": "embedded",
            "accounts": {"alice": {"grant": "100.00"}, "poor": {"grant": "0.00001"}},
        },
        "limits": {"request_body": "64KiB"},
        "backends": backends,
        "models": {
            **{name: {**_model(name, name), "output_max": 500} for name in backends},
            "embed": {**_model("east", "embed"), "kind": "embeddings"},
        },
        "prices": {name: {"input": "0.15", "output": "0.60"} for name in (*backends, "embed")},
        "chat": {
            "attempts": 2,
            "backoff": {"first": "10ms", "max": "20ms"},
            "all_open": "refuse",
            "breaker": {"failures": 100_000},
            "timeouts": {"headers": "300ms", "first_token": "300ms", "between_tokens": "1s", "whole": "5s"},
        },
    }


def _model(backend: str, model: str) -> dict[str, Any]:
    return {"pools": [{"name": "only", "backends": [{"backend": backend, "model": model}]}]}


@contextmanager
def _providers() -> Iterator[dict[str, str]]:
    """The providers, in a thread with a loop of its own, by name."""
    urls: dict[str, str] = {}
    ready = threading.Event()
    ends: list[Callable[[], object]] = []

    async def main() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        ends.append(lambda: loop.call_soon_threadsafe(stop.set))
        async with AsyncExitStack() as stack:
            for name, vendor in VENDORS.items():
                provider = ChatProvider(
                    name,
                    dialects=vendor,
                    journal=Journal(),
                    clock=lambda: time.monotonic_ns() // 1000,
                    script=Script.for_chat(
                        {"match": {"model": model}, "do": do}
                        for acts in (ACTS, _SLOWLY)
                        for model, do in acts.items()
                    ),
                    plan=ChatPlan.model_validate(PLAN),
                )
                urls[name] = (await stack.enter_async_context(serve(provider.app))).url
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    try:
        assert ready.wait(10)
        yield urls
    finally:
        ends[0]()
        thread.join(10)


def _port(there: Served) -> int:
    for _ in range(1_000):
        assert there.process.poll() is None, there.log.read_text()
        for event in there.events():
            if event["event"] == "listening":
                return int(event["port"])
        time.sleep(0.01)
    raise AssertionError(there.log.read_text())


def _free_port() -> int:
    """Nobody listens there."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
