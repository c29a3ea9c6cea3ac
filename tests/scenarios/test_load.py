"""Loading: every mistake at once, each with file, line, field and a suggestion."""

from pathlib import Path

import pytest

from scenarios.load import BadScenario, find, load, load_text
from scenarios.yamlish import Badly, read, write

GOOD = """\
about: a test
gateway: {config: {providers: {}}}
providers:
  rh: {wire: runninghub}
traffic:
  - {send: task, provider: rh, account: alice}
"""


def problems(text: str, **options):
    with pytest.raises(BadScenario) as bad:
        load_text(text, source="f.yaml", **options)
    return [str(one) for one in bad.value.problems]


def test_a_good_file_loads():
    """The value of the file, nothing more."""
    assert load_text(GOOD).traffic[0].account == "alice"


def test_every_mistake_is_told_with_its_place():
    """Unknown fields with the nearest known one, missing fields, wrong values: all in one go, by line."""
    told = problems(
        """\
about: a test
gateway: {config: {providers: {}}, replicass: 2}
providers:
  rh:
    wire: runninghub
    acts:
      - {until: 5, do: {rate_limted: {}}}
traffic:
  - send: task
    provdier: rh
    account: alice
    clients: "3"
faults:
  - crash: gateway-0
    at: 1s
    back_aftr: 2s
  - {until: 1m, store: {error: broken}}
"""
    )
    assert told == [
        "f.yaml:2: gateway.replicass: no such field (did you mean replicas?)",
        "f.yaml:7: providers.rh.acts.0.until: a duration is text with a unit, such as 30s, and not 5",
        "f.yaml:7: providers.rh.acts.0.do.rate_limted: no such field (did you mean rate_limited?)",
        "f.yaml:9: traffic.0.provider: missing",
        "f.yaml:10: traffic.0.provdier: no such field (did you mean provider?)",
        "f.yaml:12: traffic.0.clients: Input should be a valid integer",
        "f.yaml:16: faults.0.back_aftr: no such field (did you mean back_after?)",
        "f.yaml:17: faults.1.store.error: Input should be 'locked', 'full' or 'io'",
    ]


def test_only_the_names_of_files_are_taken_from_files():
    """`from` and `for` are the file's words; the fields behind them are Python's."""
    told = problems(GOOD.replace("account: alice", "account: alice, rate: 1/s, lasting: 3s"))
    assert told[0].startswith("f.yaml:6: traffic.0.lasting: no such field")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("about: [", 1, "not YAML"),
        ("- a\n- b\n", 1, "a scenario is a mapping"),
        ("", 1, "a scenario is a mapping"),
        ("about: a\nabout: b\n", 2, "about stands twice"),
        ("about: &x a\ngateway: *x\n", 2, "aliases"),
        ("about: a\n? [1]\n: b\n", 2, "a key is a word"),
        ("a: " + "[" * 60 + "]" * 60, 1, "nested deeper"),
    ],
)
def test_what_is_no_yaml_of_ours(text, line, says):
    """The line, and what is wrong with it."""
    told = problems(text)
    assert told[0].startswith(f"f.yaml:{line}: ") and says in told[0]


def test_words_are_words():
    """`on`, `no`, `yes` and `1:30` are text, as people mean them; true and false are not."""
    value, places = read("on: [no, yes, off, 1:30, 012, true, ~, 1.5, 3]\nother: 1\n")
    assert value == {"on": ["no", "yes", "off", "1:30", "012", True, None, 1.5, 3], "other": 1}
    assert places["other",] == 2 and places["on", 8] == 1


@pytest.mark.parametrize(
    "value", ["on", "no", "1:30", "true", "null", "~", "1.5", "3", "", " x", "a: b", "#"]
)
def test_what_is_written_is_read_back(value):
    """Text that looks like something else is quoted."""
    assert read(write({"key": value, value or "empty": [value]}))[0] == {
        "key": value,
        value or "empty": [value],
    }


def test_bad_yaml_knows_its_line():
    """For tools that want the line apart."""
    with pytest.raises(Badly) as bad:
        read("a: 1\nb: [\n")
    assert bad.value.line >= 2


def test_checks_are_named_as_they_are_called():
    """A check left out by a misspelt name would be judged all the same; one required would never be."""
    told = problems(GOOD + "judge: {skip: [alive-afterward], require: [every-hold-ends]}\n")
    assert told == [
        "f.yaml:7: judge.skip.0: no check is called 'alive-afterward' (did you mean alive-afterwards?)"
    ]


def test_billing_is_where_the_gateway_expects_it():
    """A billing service that nobody asks, or one that is asked and not there, tests nothing."""
    told = problems(GOOD + 'billing: {accounts: {alice: "1.00"}}\n')
    assert told == ["f.yaml:7: billing: the gateway's configuration does not bill remotely"]
    told = problems(GOOD.replace("{providers: {}}", "{billing: {kind: remote}}"))
    assert told == ["f.yaml:2: billing: the gateway bills remotely: give accounts their money here"]


def test_a_configuration_beside_the_file_is_read_in(tmp_path: Path):
    """A scenario once loaded stands on its own, wherever its configuration was."""
    (tmp_path / "mine.yaml").write_text("providers: {}\nadmin: {key: {env: K}}\n")
    path = tmp_path / "storm.yaml"
    path.write_text(GOOD.replace("{providers: {}}", "mine.yaml"))
    loaded = load(path)
    assert loaded.name == "storm"
    assert loaded.scenario.gateway.config == {"providers": {}, "admin": {"key": {"env": "K"}}}


def test_a_configuration_of_the_suite_stays_a_name(tmp_path: Path):
    """Names keep files and printed failures short."""
    path = tmp_path / "storm.yaml"
    path.write_text(GOOD.replace("{providers: {}}", "runninghub.yaml"))
    assert load(path).scenario.gateway.config == "runninghub.yaml"


def test_a_configuration_that_is_nowhere():
    """The nearest name is suggested."""
    told = problems(GOOD.replace("{providers: {}}", "runinghub.yaml"))
    assert told == [
        "f.yaml:2: gateway.config: no gateway configuration 'runinghub.yaml' (did you mean runninghub.yaml?)"
    ]


def test_a_broken_configuration_is_told_by_its_own_name(tmp_path: Path):
    """The line is in the configuration, not in the scenario."""
    (tmp_path / "mine.yaml").write_text("a: 1\na: 2\n")
    told = problems(GOOD.replace("{providers: {}}", "mine.yaml"), folder=tmp_path)
    assert told == [f"{tmp_path / 'mine.yaml'}:2: a stands twice in one mapping"]


def test_folders_are_walked_in_order(tmp_path: Path):
    """Files by name, folder by folder; gateway configurations are no scenarios."""
    for name in ("b.yaml", "a/z.yaml", "gateways/g.yaml", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    assert [path.name for path in find([tmp_path])] == ["z.yaml", "b.yaml"]
    with pytest.raises(BadScenario, match="no such file or folder"):
        find([tmp_path / "nowhere"])


def test_a_file_that_cannot_be_read(tmp_path: Path):
    """Bytes that are no text are a problem of the file, not of ours."""
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadScenario, match="cannot be read"):
        load(path)
