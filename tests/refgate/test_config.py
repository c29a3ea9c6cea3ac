"""The configuration: strict, whole, and silent about secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from refgate import ConfigError, Settings, load_settings
from refgate.config import billing, chat, models, providers, routes, settings
from refgate.config.file import read_yaml
from refgate.config.values import Secret

EXAMPLE = Path(__file__).parents[2] / "docs" / "gateway.example.yaml"
ENVIRON = {
    "REFGATE_ADMIN_KEY": "canary-admin",
    "ALICE_KEY": "canary-caller-alice",
    "BOB_KEY": "canary-caller-bob",
    "RH_KEY": "canary-provider-rh",
    "KLING_KEY": "canary-provider-kling",
    "FAL_KEY": "canary-provider-fal",
    "EAST_KEY": "canary-provider-east",
    "WEST_KEY": "canary-provider-west",
    "ROME_KEY": "canary-provider-rome",
}


def example() -> dict[str, Any]:
    """The example as plain values, to be changed by a test."""
    value = read_yaml(EXAMPLE).value
    assert isinstance(value, dict)
    return value


def put(config: dict[str, Any], place: str, value: Any) -> None:
    """Sets `a.b.0.c` to a value; `...` takes it away."""
    *way, last = [int(step) if step.isdigit() else step for step in place.split(".")]
    inner: Any = config
    for step in way:
        inner = inner[step]
    if value is ...:
        del inner[last]
    elif isinstance(inner, list):
        inner[last:] = [value]
    else:
        inner[last] = value


def refused(config: Mapping[str, Any], environ: Mapping[str, str] = ENVIRON) -> str:
    with pytest.raises(ConfigError) as caught:
        Settings.parse(config, environ=environ, source="g.yaml")
    return str(caught.value)


def test_the_example_is_a_configuration() -> None:
    """The documented example loads, and says what the documentation says."""
    settings = load_settings(EXAMPLE, ENVIRON)
    assert settings.reconcile.poll_after_us == 60_000_000
    assert settings.limits.request_body == 1024 * 1024
    rh = settings.providers["rh"]
    assert rh.hold_of(rh.submit[0]) == 300_000_000
    assert rh.auth.pair() == ("authorization", "Bearer canary-provider-rh")
    assert settings.callers["alice"].may_use("team-video") and not settings.callers["bob"].may_use("alice")


def fields(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.alias or name
        for inner in re.findall(r"refgate\.config\.\w+\.(\w+)", str(field.annotation)):
            homes = (settings, billing, chat, models, providers, routes)
            part = next((getattr(home, inner) for home in homes if hasattr(home, inner)), None)
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from fields(part)


def test_the_example_names_every_field() -> None:
    """No field without a place in the documentation."""
    text = EXAMPLE.read_text()
    missing = {name for name in fields(Settings) if not re.search(rf"\b{name}\b", text)}
    assert missing == set()


def test_the_effective_settings_are_a_configuration_too() -> None:
    """What is printed has every default filled in, reads back as the same, and holds no secret's value."""
    settings = load_settings(EXAMPLE, ENVIRON)
    shown = settings.effective()
    assert shown["timeouts"] == {"connect": "5s", "read": "30s", "write": "30s", "pool": "5s", "total": "1m"}
    assert Settings.parse(shown, environ=ENVIRON).effective() == shown
    assert "canary" not in str(shown)


def test_defaults_are_the_first_choice_of_each_policy() -> None:
    """A configuration that declares no policy gets the safe ones."""
    config = example()
    del config["policies"], config["limits"], config["timeouts"], config["idempotency"], config["reconcile"]
    settings = Settings.parse(config, environ=ENVIRON)
    assert settings.policies.model_dump() == {
        "billing_unreachable": "fail_closed",
        "missing_usage": "hold",
        "usage_above_hold": "charge_actual",
        "task_without_verdict": "keep_reconciling",
    }
    assert settings.idempotency.in_flight == "conflict"


def test_settings_are_frozen() -> None:
    """Nothing changes them after the start."""
    settings = load_settings(EXAMPLE, ENVIRON)
    with pytest.raises(ValidationError):
        settings.limits.requests = 1


def test_a_secret_is_never_shown() -> None:
    """Not by repr, not by str, not in the settings' own; and all of them are known for redaction."""
    settings = load_settings(EXAMPLE, ENVIRON)
    assert "canary" not in f"{settings!r} {settings} {settings.admin.key} {settings.model_dump_json()}"
    assert repr(settings.admin.key) == "<secret from env REFGATE_ADMIN_KEY>"
    assert set(settings.secrets()) == set(ENVIRON.values())


def test_a_secret_is_compared_whole() -> None:
    """Equal is equal, in constant time and for any text."""
    secret = Secret("abc", {"env": "X"})
    assert secret.matches("abc") and not secret.matches("abcd") and not secret.matches("abć")


def test_a_secret_may_come_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    """`{file: PATH}` is relative to the configuration, and its line end does not count."""
    (tmp_path / "key").write_text("from-a-file\n")
    text = EXAMPLE.read_text().replace("{env: REFGATE_ADMIN_KEY}", "{file: key}")
    (tmp_path / "g.yaml").write_text(text)
    assert load_settings(tmp_path / "g.yaml", ENVIRON).admin.key.reveal() == "from-a-file"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("canary-plain", "a secret is never written here: give {env: NAME} or {file: PATH}"),
        ({"env": "NOPE"}, "the environment variable NOPE is not set"),
        ({"env": "EMPTY"}, "the environment variable EMPTY is empty or is not one word of printable ASCII"),
        ({"env": "BROKEN"}, "the environment variable BROKEN is empty or is not one word of printable ASCII"),
        ({"file": "/nowhere/key"}, "the file /nowhere/key cannot be read"),
        ({"env": "A", "file": "b"}, "a secret is never written here: give {env: NAME} or {file: PATH}"),
    ],
)
def test_a_missing_secret_is_named_and_not_told(value: object, message: str) -> None:
    """The start fails with the setting's name; what was found there is never quoted."""
    config = example()
    config["providers"]["rh"]["auth"]["key"] = value
    text = refused(config, {**ENVIRON, "EMPTY": " ", "BROKEN": "canary broken"})
    assert text == f"g.yaml: providers.rh.auth.key: {message}"


RH = "providers.rh"
FAL = "providers.fal"
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"limit": {}}, "limit: unknown field; did you mean 'limits'?"),
    ({"limits.requets": 1}, "limits.requets: unknown field; did you mean 'requests'?"),
    ({f"{RH}.query.0.usage.pth": "$"}, f"{RH}.query.0.usage.pth: unknown field; did you mean 'path'?"),
    ({"billing.acounts": {}}, "billing.acounts: unknown field; did you mean 'accounts'?"),
    ({"billing.url": "http://b"}, "billing.url: unknown field"),
    ({"admin": ...}, "admin: is missing"),
    ({"timeouts.read": 30}, "timeouts.read: a span of time is text such as '250ms', '30s', '5m' or '1h', "),
    ({"timeouts.read": "0s"}, "timeouts.read: a span of time is text"),
    ({"limits.request_body": "1 MiB"}, "limits.request_body: a size is text such as '64KiB' or '1MiB'"),
    ({f"{RH}.hold": 0.5}, f'{RH}.hold: a float is not exact: write the amount in quotes, such as "0.30"'),
    ({f"{RH}.hold": "-1"}, f"{RH}.hold: negative"),
    ({f"{RH}.hold": "1e999"}, f"{RH}.hold: too large"),
    ({f"{RH}.base_url": "ftp://x"}, f"{RH}.base_url: a base URL begins with http:// or https:// and a host"),
    ({f"{RH}.base_url": "http://u:p@x"}, f"{RH}.base_url: a base URL has no user, no query and no fragment"),
    ({f"{RH}.base_url": "http://x:99999"}, f"{RH}.base_url: a base URL's port is a number up to 65535"),
    ({f"{RH}.submit.0.task_id": "taskId"}, f"{RH}.submit.0.task_id: 'taskId' is not a JSONPath: "),
    ({f"{RH}.submit.0.match": "post /x"}, f"{RH}.submit.0.match: 'post /x' is not of the form"),
    ({f"{RH}.auth.value": "Bearer"}, f"{RH}.auth: auth.value is printable text that contains {{key}} once"),
    ({f"{RH}.headers.request": ["cookie"]}, f"{RH}.headers: 'cookie' may never cross, so that listing it "),
    ({f"{RH}.headers.answer": ["X-Up"]}, f"{RH}.headers: 'X-Up' is not a header name in lower case"),
    ({f"{RH}.query": []}, f"{RH}: there is a submit route and no query route: no task would ever be charged"),
    ({f"{RH}.submit": []}, f"{RH}: query, result, poll and find have no effect without a submit route"),
    ({f"{RH}.query.0.task_id": {"path": "id"}}, f"{RH}.query.0: task_id.path names 'id', which POST "),
    ({f"{RH}.query.0.task_id": {}}, f"{RH}.query.0.task_id: task_id is exactly one of body, path and query"),
    ({f"{RH}.query.0.success": []}, f"{RH}.query.0: success lists at least one status word"),
    ({f"{RH}.query.0.success": ["FAILED"]}, f"{RH}.query.0: 'FAILED' is both a success and a failure"),
    ({f"{RH}.query.0.usage": {"unit_price": "1"}}, f"{RH}.query.0.usage: usage is exactly one of "),
    ({f"{RH}.query.0.usage": {"path": "$.u"}}, f"{RH}.query.0.usage: usage.unit_price is missing"),
    ({f"{RH}.query.0.usage": {"flat": "1", "max": "2"}}, f"{RH}.query.0.usage: usage.max has no effect "),
    ({f"{RH}.poll.path": "/elsewhere"}, f"{RH}: poll asks POST /elsewhere, which no query route matches"),
    ({f"{RH}.poll.json": {"a": ["{x}"]}}, f"{RH}: poll: nothing says what {{x}} stands for"),
    ({f"{RH}.ambiguous.label": ...}, f"{RH}.ambiguous: resolve: resend needs a label that "),
    ({f"{RH}.ambiguous.resolve": "find"}, f"{RH}.ambiguous: find is given with resolve: find, and only then"),
    ({f"{RH}.ambiguous.statuses": [200]}, f"{RH}.ambiguous.statuses.0: Input should be greater "),
    ({f"{RH}.ambiguous.label": {"header": "Cookie"}}, f"{RH}.ambiguous.label: 'cookie' may never cross"),
    ({f"{RH}.ambiguous.label": {"header": "x-a"}, f"{RH}.auth.header": "X-A"}, f"{RH}: 'x-a' carries "),
    ({f"{RH}.ambiguous": ...}, f"{RH}: an ambiguous submit could never end: declare ambiguous.resolve "
     "(find or resend), or policies.task_without_verdict: release"),
    ({f"{RH}.poll": ...}, f"{RH}: a task that nobody polls could never end: give poll, or declare "
     "policies.task_without_verdict: release"),
    ({f"{FAL}.query.0.usage_from": {"path": "/{nope}"}}, f"{FAL}: query 'GET /{{owner}}/{{app}}/requests/"
     "{task_id}/status': usage_from: nothing says what {nope} stands for"),
    ({f"{FAL}.query.0.usage": {"flat": "1"}}, f"{FAL}.query.0: usage_from has no effect beside usage.flat"),
    ({"policies.missing_usage": "estimate", f"{RH}.query.0.usage.estimate": ...},
     f"{RH}.query.0.usage: estimate is missing: policies.missing_usage: estimate needs it"),
    ({"callers.bob.key": {"env": "ALICE_KEY"}}, "callers.bob: the same key as alice: nobody could "),
    ({"callers.bob.key": {"env": "REFGATE_ADMIN_KEY"}}, "callers.bob: the same key as admin: "),
    ({"callers.bob.accounts": ["eve"]}, "callers.bob: billing.accounts has no account 'eve'"),
    ({"callers.bob.accounts": ["b*"]}, "callers.bob: accounts begins with one whole account name"),
    ({"callers.bob.accounts": "bob"}, "callers.bob.accounts: is a list"),
    ({"providers.bad name": {}}, "providers.bad name"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[message[:60] for _, message in WRONG])
def test_what_cannot_work_is_refused_with_its_place(changes: dict[str, Any], message: str) -> None:
    """Each mistake is one line that names the field and what to do about it."""
    config = example()
    for place, value in changes.items():
        put(config, place, value)
    lines = refused(config).splitlines()
    assert any(line.startswith(f"g.yaml: {message}") for line in lines), lines


def test_all_mistakes_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    """One start, all the mistakes: file, line, field, suggestion, in the order of the file."""
    text = EXAMPLE.read_text()
    for right, wrong in (
        ("drain: 30s", "drain: soon"),
        ("poll_after: 60s", "pol_after: 60s"),
        ("base_url: https://kling", "base_url: kling"),
        ("resolve: find", "resolve: fnd"),
    ):
        assert right in text
        text = text.replace(right, wrong, 1)
    file = tmp_path / "g.yaml"
    file.write_text(text)
    lines = text.splitlines()

    def at(wrong: str) -> int:
        return next(number for number, line in enumerate(lines, 1) if wrong in line)

    with pytest.raises(ConfigError) as caught:
        load_settings(file, ENVIRON)
    assert str(caught.value).splitlines() == [
        f"{file}:{at('drain: soon')}: listen.drain: a span of time is text such as '250ms', '30s', '5m' or "
        "'1h', and longer than nothing",
        f"{file}:{at('pol_after')}: reconcile.pol_after: unknown field; did you mean 'poll_after'?",
        f"{file}:{at('base_url: kling')}: providers.kling.base_url: a base URL begins with http:// or "
        "https:// and a host",
        f"{file}:{at('resolve: fnd')}: providers.kling.ambiguous.resolve: Input should be 'none', 'resend' "
        "or 'find'",
    ]


def test_release_makes_an_unresolvable_provider_acceptable() -> None:
    """The remedy that the error names does help."""
    config = example()
    config["policies"]["task_without_verdict"] = "release"
    del config["providers"]["rh"]["ambiguous"], config["providers"]["rh"]["poll"]
    assert Settings.parse(config, environ=ENVIRON).providers["rh"].ambiguous.resolve == "none"


def test_remote_billing_needs_no_accounts_here() -> None:
    """The accounts are the service's; only where it is and the key are told."""
    config = example()
    for part in ("backends", "models", "prices", "cache"):
        del config[part]
    config["billing"] = {
        "kind": "remote",
        "url": "http://billing.test/",
        "key": {"env": "RH_KEY"},
        "timeout": "2s",
    }
    billing = Settings.parse(config, environ=ENVIRON).billing
    assert billing.kind == "remote" and (billing.url, billing.timeout_us) == (
        "http://billing.test",
        2_000_000,
    )
