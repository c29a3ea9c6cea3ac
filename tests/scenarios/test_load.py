"""Loading: every mistake at once, each with file, line, field and a suggestion."""

from pathlib import Path

import pytest

from scenarios.load import find, load, load_text
from scenarios.mistakes import BadScenario
from scenarios.yamlish import Badly, read, write

CONFIG = "{providers: {rh: {}}, callers: {alice: {}}}"
GOOD = """\
about: a test
gateway: {config: {providers: {rh: {}}, callers: {alice: {}}}}
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
        ("a:\n  " + "[" * 9999, 2, "nested deeper"),
        ("a: b\nc: \0", 2, "the character 0x0 is not allowed"),
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


def test_what_is_required_is_not_left_out():
    """It would be required in vain: what is skipped has no verdict at all."""
    told = problems(GOOD + "judge: {skip: [every-hold-ends], require: [every-hold-ends]}\n")
    assert told == [
        "f.yaml:7: judge.require.0: every-hold-ends is left out by skip: it cannot be required as well"
    ]


def test_what_is_counted_is_named_as_it_is_counted():
    """None of a misspelt thing were there, in every run."""
    told = problems(
        GOOD + "expect:\n  counts: {rate_limted: 0, flag_x: 1, status_42: 1}\n  reached: [ok, in_fligt]\n"
    )
    assert told == [
        "f.yaml:8: expect.counts.rate_limted: nothing is counted as 'rate_limted' "
        "(did you mean rate_limited?)",
        "f.yaml:8: expect.counts.status_42: nothing is counted as 'status_42'",
        "f.yaml:9: expect.reached.1: nothing is counted as 'in_fligt' (did you mean in_flight?)",
    ]


def test_whoever_the_gateway_calls_is_there_and_nobody_else():
    """One that is missing would be a host outside the world; one that nobody calls tests nothing."""
    told = problems(GOOD.replace("rh: {}", "rhh: {}, off: {enabled: false}, kling: {}"))
    assert told == [
        "f.yaml:3: providers: the gateway's configuration calls kling, rhh too: say who they are",
        "f.yaml:4: providers.rh: the gateway's configuration has no provider or backend of this name "
        "(did you mean rhh?)",
    ]


def test_hosts_are_those_of_the_world():
    """A configuration that was written for the real ones reaches nobody here."""
    real = CONFIG.replace("rh: {}", "rh: {base_url: 'https://www.runninghub.cn/v2'}")
    assert problems(GOOD.replace(CONFIG, real)) == [
        "f.yaml:2: gateway.config: the base_url of providers.rh is https://www.runninghub.cn/v2, and here "
        "its host is rh.test (did you mean http://rh.test?)"
    ]


def test_accounts_are_those_that_callers_have():
    """A stranger is turned away in every run, and is charged nothing in every run."""
    rich = GOOD.replace("callers:", "billing: {accounts: {alice: {}}}, callers:")
    told = problems(
        rich.replace("account: alice", "account: alcie, poll: {also_by: [alice, bob]}")
        + 'expect: {charged: {alise: "0.00"}}\n'
    )
    assert told == [
        "f.yaml:6: traffic.0.account: no caller of the gateway's configuration may bill alcie "
        "(did you mean alice?)",
        "f.yaml:6: traffic.0.poll.also_by.1: no caller of the gateway's configuration may bill bob",
        "f.yaml:7: expect.charged.alise: nobody has an account of this name (did you mean alice?)",
    ]


def test_names_within_the_file_are_told_where_they_stand():
    """With those that there are."""
    told = problems(
        GOOD.replace("provider: rh", "provider: rx")
        + "links:\n  - {from: gatway, to: rh, do: {refuse: {}}}\n"
        + "  - {from: client, to: rh, do: {refuse: {}}}\n"
        + "faults:\n  - {crash: gateway-3, at: 5s}\n"
    )
    assert told == [
        "f.yaml:6: traffic.0.provider: rx is not one of the providers of tasks: there is rh",
        "f.yaml:8: links.0.from: gatway is no end that a link goes from: there is client, gateway, gateway-0",
        "f.yaml:9: links.1.to: rh is no end for client: there is gateway, gateway-0",
        "f.yaml:11: faults.0.crash: gateway-3 is no replica here: there is gateway-0",
    ]
    told = problems(GOOD.replace("rh", "gateway-0"))
    assert told[0] == "f.yaml:4: providers.gateway-0: gateway-0 is the name of another end"


def test_what_lasts_too_long_is_told():
    """A run has a ceiling, and who meets it would be taken for a gateway that never ends."""
    told = problems(
        GOOD.replace("account: alice", "account: alice, times: 3, pause: 300h").replace(
            "runninghub", "runninghub, acts: [{until: 673h, do: {rate_limited: {}}}]"
        )
        + "faults:\n  - {crash: gateway-0, at: 672h}\n  - {crash: gateway-0, at: 999h}\n"
    )
    assert told == [
        "f.yaml:4: providers.rh.acts.0: lasts longer than 28 days",
        "f.yaml:6: traffic.0: lasts longer than 28 days",
        "f.yaml:9: faults.1: lasts longer than 28 days",
    ]


def test_kinds_are_told_in_the_words_of_files():
    """Not in those of Python."""
    told = problems(
        GOOD.replace("wire: runninghub", "wire: runninghup")
        .replace("send: task", "sent: task")
        .replace("about: a test", "about: a test\nhazards: A5\njudge: [A5]")
        + "faults:\n  - {crash: gateway-0, stop: gateway-0, at: 1s}\n"
    )
    assert told == [
        "f.yaml:2: hazards: a list is meant, as [one, other]",
        "f.yaml:3: judge: a mapping is meant",
        "f.yaml:6: providers.rh.wire: 'runninghup' is none of runninghub, kling, replicate, fal, dashscope, "
        "minimax, openai, anthropic, gemini (did you mean runninghub?)",
        "f.yaml:8: traffic.0.send: missing",
        "f.yaml:10: faults.0.stop: does not go with the other fields here",
    ]


def test_an_act_of_models_is_none_of_tasks():
    """And nobody is asked whether he meant the very word that he wrote."""
    told = problems(GOOD.replace("runninghub", "runninghub, acts: [{do: {error_in_200: {}}}]"))
    assert told == ["f.yaml:4: providers.rh.acts.0.do.error_in_200: no such field"]


@pytest.mark.parametrize(
    "config", ["{callers: [alice]}", "{callers: {x: 3, y: {accounts: 5}}}", "{billing: 3}"]
)
def test_a_configuration_of_any_shape_is_told_of(config):
    """What is wrong with it the gateway says; that it has nothing of what the file names, is said here."""
    told = problems(GOOD.replace(CONFIG, config))
    assert told[-1] == "f.yaml:6: traffic.0.account: no caller of the gateway's configuration may bill alice"


def test_billing_is_where_the_gateway_expects_it():
    """A billing service that nobody asks, or one that is asked and not there, tests nothing."""
    told = problems(GOOD + 'billing: {accounts: {alice: "1.00"}}\n')
    assert told == ["f.yaml:7: billing: the gateway's configuration does not bill remotely"]
    told = problems(GOOD.replace("providers: {rh", "billing: {kind: remote}, providers: {rh"))
    assert told == [
        "f.yaml:2: gateway.config: the gateway bills remotely: give its accounts their money in billing"
    ]


def test_a_configuration_beside_the_file_is_read_in(tmp_path: Path):
    """A scenario once loaded stands on its own, wherever its configuration was."""
    (tmp_path / "mine.yaml").write_text("providers: {rh: {}}\ncallers: {alice: {}}\n")
    path = tmp_path / "storm.yaml"
    path.write_text(GOOD.replace(CONFIG, "mine.yaml"))
    loaded = load(path)
    assert loaded.name == "storm"
    assert loaded.scenario.gateway.config == {"providers": {"rh": {}}, "callers": {"alice": {}}}


def test_a_configuration_of_the_suite_stays_a_name(tmp_path: Path):
    """Names keep files and printed failures short."""
    path = tmp_path / "storm.yaml"
    path.write_text(GOOD.replace(CONFIG, "runninghub.yaml"))
    assert load(path).scenario.gateway.config == "runninghub.yaml"


def test_a_configuration_that_is_nowhere():
    """The nearest name is suggested."""
    told = problems(GOOD.replace(CONFIG, "runinghub.yaml"))
    assert told == [
        "f.yaml:2: gateway.config: no gateway configuration 'runinghub.yaml' (did you mean runninghub.yaml?)"
    ]


def test_a_broken_configuration_is_told_by_its_own_name(tmp_path: Path):
    """The line is in the configuration, not in the scenario."""
    (tmp_path / "mine.yaml").write_text("a: 1\na: 2\n")
    told = problems(GOOD.replace(CONFIG, "mine.yaml"), folder=tmp_path)
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


def test_a_model_that_is_misspelt_is_told():
    """By its name or by another one of its; what is like none of them is asked for on purpose."""
    config = "{backends: {rh: {}}, callers: {alice: {}}, models: {small: {aliases: [tiny]}}}"
    chat = GOOD.replace(CONFIG, config).replace("runninghub", "openai")
    ask = chat.replace("send: task, provider: rh", "send: chat, model: MODEL")
    for name in ("tiny", "nobody-has-it"):
        assert load_text(ask.replace("MODEL", name)).traffic[0].account == "alice"
    assert problems(ask.replace("MODEL", "smal")) == [
        "f.yaml:6: traffic.0.model: the gateway's configuration serves no model smal (did you mean small?)"
    ]
