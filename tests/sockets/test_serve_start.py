"""Starting for real: what is printed, what is refused, and that ids are fit for production."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from refgate import Settings
from refgate.serve import check, production_ports, serve
from tests.refgate.chat_kit import ENVIRON as CHAT_ENVIRON
from tests.refgate.chat_kit import config as chat_config
from tests.refgate.edge_kit import ENVIRON, config


def test_the_settings_in_force_are_shown_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    """What `check` prints is a configuration, with every default filled in."""
    settings = Settings.parse(config(), environ=ENVIRON)
    assert check(settings) == 0
    printed = capsys.readouterr().out
    assert "poll_after: 1m" in printed and "canary" not in printed
    assert Settings.parse(yaml.safe_load(printed), environ=ENVIRON).effective() == settings.effective()


def test_a_port_that_is_taken_ends_the_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One line that says so, and an exit code; no traceback, no half-started gateway."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = {"host": "127.0.0.1", "port": taken.getsockname()[1]}
        made = config(listen=listen, store={"path": str(tmp_path / "store.sqlite")})
        assert serve(Settings.parse(made, environ=ENVIRON)) == 1
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["started", "library", "draining", "stopped"]
    assert "address already in use" in lines[1]["message"]


def test_a_store_that_is_none_ends_the_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A file of another program is refused and left as it is."""
    other = tmp_path / "store.sqlite"
    other.write_bytes(b"not a database" * 100)
    made = config(listen={"port": 0}, store={"path": str(other)})
    assert serve(Settings.parse(made, environ=ENVIRON)) == 1
    assert other.read_bytes() == b"not a database" * 100
    told, remark = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert (told["event"], told["where"]) == ("failed", "start")
    assert told["what"] == f"store.path {other}: SQLITE_NOTADB"
    assert remark["message"] == "Application startup failed. Exiting."


def test_a_spool_that_is_none_ends_the_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The same for the file beside the store, where there are chats to log."""
    other = tmp_path / "store.sqlite.spool-0"
    other.write_bytes(b"not a spool")
    made = chat_config(listen={"port": 0}, store={"path": str(tmp_path / "store.sqlite")})
    assert serve(Settings.parse(made, environ=CHAT_ENVIRON)) == 1
    assert other.read_bytes() == b"not a spool"
    told, _ = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert (told["event"], told["where"]) == ("failed", "start")
    assert told["what"].endswith("store.sqlite.spool-0 is not a spool")


@pytest.mark.parametrize(("hard", "allowed"), [(4096, None), (300, 300)])
def test_the_files_that_calls_need_are_asked_for(tmp_path: Path, hard: int, allowed: int | None) -> None:
    """A low soft limit is raised; where the hard one is too low, that is said before it is met."""
    file = tmp_path / "gateway.yaml"
    made = config(listen={"port": 0}, store={"path": str(tmp_path / "store.sqlite")})
    file.write_text(yaml.safe_dump(made))
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (128, {hard}))\n"
        f"import sys; sys.argv = ['refgate', 'serve', '--config', {str(file)!r}]\n"
        "from refgate.cli import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env={**os.environ, **ENVIRON}
    )
    assert process.stderr is not None
    events: dict[str, dict[str, object]] = {}
    for line in process.stderr:
        event = json.loads(line)
        events[event["event"]] = event
        if event["event"] == "listening":
            process.terminate()  # once: after the stop a signal would end the process its own way
    process.stderr.close()
    assert process.wait(20) == 0 and list(events)[-1] == "stopped"
    told = events.get("few-files", {})
    assert told.get("allowed") == allowed and ("ulimit -n" in str(told.get("remedy"))) is bool(allowed)


def test_ids_are_unique_and_sort_by_time() -> None:
    """Any two are different; of two made apart in time, the earlier sorts first."""

    async def made() -> list[str]:
        ports = production_ports(Settings.parse(config(), environ=ENVIRON), lambda _: None)
        ids = [ports.ids("call") for _ in range(100)]
        await asyncio.sleep(0.002)
        ids.append(ports.ids("call"))
        await ports.transport.aclose()
        return ids

    ids = asyncio.run(made())
    assert len(set(ids)) == 101 and ids[-1] > max(ids[:-1])
    assert all(one.startswith("call_") and len(one) == len(ids[0]) for one in ids)
