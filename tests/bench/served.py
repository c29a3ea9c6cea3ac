"""`refgate serve` as it is run: keys, routing over two backends, money in its store, the request log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["configuration", "environment", "started"]


def configuration(upstream: str, folder: Path) -> dict[str, object]:
    """Everything is on that a caller's request meets; both backends are the same provider."""
    backend = {"dialect": "openai", "base_url": f"{upstream}/v1", "key": {"env": "BENCH_PROVIDER_KEY"}}
    served = {"model": "gpt-4o-mini"}
    return {
        "listen": {"port": 0},
        "store": {"path": str(folder / "store.sqlite")},
        "admin": {"key": {"env": "BENCH_ADMIN_KEY"}},
        "callers": {"alice": {"key": {"env": "BENCH_CALLER_KEY"}, "accounts": ["alice"]}},
        "billing": {"kind": "embedded", "accounts": {"alice": {"grant": "1000000", "budget": "900000"}}},
        "backends": {"east": backend, "west": backend},
        "models": {
            "small": {
                "pools": [
                    {
                        "name": "main",
                        "backends": [{"backend": "east", **served}, {"backend": "west", **served}],
                    }
                ],
                "output_max": 1000,
            }
        },
        "prices": {
            "gpt-4o-mini": {"input": "0.15", "output": "0.60", "cache_read": "0.075"},
            "gpt-4o-mini-2026-01-01": {"input": "0.15", "output": "0.60", "cache_read": "0.075"},
        },
        "request_log": {"body": 0},
    }


def environment() -> dict[str, str]:
    secrets = {
        "BENCH_PROVIDER_KEY": "canary-provider-east",
        "BENCH_ADMIN_KEY": "canary-admin",
        "BENCH_CALLER_KEY": "canary-caller-alice",
    }
    return {**os.environ, **secrets}


def started(upstream: str, folder: Path) -> tuple[subprocess.Popen[str], int]:
    """The process, and the port that it says it listens on."""
    file = folder / "gateway.yaml"
    file.write_text(json.dumps(configuration(upstream, folder)))  # which is YAML, too
    log = folder / "gateway.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", "from refgate.cli import main; main()", "serve", "--config", str(file)],
            stderr=out,
            stdout=out,
            env=environment(),
            text=True,
        )
    return process, _port(process, log)


def _port(process: subprocess.Popen[str], log: Path) -> int:
    while process.poll() is None:
        for line in log.read_text().splitlines():
            told = json.loads(line) if line.startswith("{") else {}
            if told.get("event") == "listening":
                return int(told["port"])
        time.sleep(0.05)
    raise SystemExit(f"refgate serve did not start:\n{log.read_text()}")
