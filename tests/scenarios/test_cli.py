"""The command: what it chooses, what it prints, what it leaves behind, and the code it ends with."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from refgate import cli
from scenarios.load import load
from scenarios.select import SUITE, BadExpression, chosen, matches

DATA = Path(__file__).parent / "data"


@pytest.fixture
def refgate(monkeypatch, tmp_path):
    """Runs the command in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object):
        result = CliRunner().invoke(cli._app, [str(word) for word in words])
        assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit)
        return result

    return call


def test_what_holds_ends_with_0(refgate):
    """A line for the file, the table of invariants, the sum."""
    result = refgate("run", DATA / "holds.yaml", "--seeds", 2)
    assert result.exit_code == 0, result.output
    assert "✓ holds" in result.output and "2 runs hold" in result.output
    assert "finalize-at-most-once" in result.output


def test_what_is_broken_ends_with_1(refgate):
    """The proof, a file to replay, and both reports."""
    result = refgate("run", DATA / "fails.yaml", "--seed", 4, "--json", "o.json", "--junit", "o.xml")
    assert result.exit_code == 1
    assert "expected charged 0.99 in all: 0.25 was charged" in result.output
    assert "again: refgate replay .refgate/failures/fails-4.yaml" in result.output
    assert json.loads(Path("o.json").read_text())["runs"][0]["seed"] == 4
    assert "<failure" in Path("o.xml").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "nowhere.yaml"], "no such file or folder"),
        (["run", DATA / "holds.yaml", "-k", "(a"], "a parenthesis is not closed"),
        (["run", DATA / "holds.yaml", "-k", "nothing"], "no scenario matches"),
        (["run", "--sed", "3"], "No such option"),
        (["run", "--seeds", "0"], "greater than or equal to 1"),
        (["replay", "nowhere.yaml"], "cannot be read"),
        (["run", DATA / "gateways" / "beside.yaml"], "about: missing"),
    ],
)
def test_wrong_input_ends_with_2(refgate, words, says):
    """One line that says what is wrong, and no traceback."""
    result = refgate(*words)
    assert result.exit_code == 2
    assert says in result.output and "Traceback" not in result.output


def test_a_gateway_that_refuses_its_configuration_ends_with_2(refgate):
    """In the gateway's own words."""
    result = refgate("run", DATA / "refused.yaml", "--seed", 0)
    assert result.exit_code == 2
    assert "not played" in result.output and "evry" in result.output and "every" in result.output


def test_a_failure_replays_until_it_is_fixed(refgate):
    """FAILED with exit 1 while it fails, FIXED with 0 once it does not; the kept file stands on its own."""
    refgate("run", DATA / "fails.yaml", "--seed", 4)
    kept = Path(".refgate/failures/fails-4.yaml")
    again = refgate("replay", kept)
    assert again.exit_code == 1 and "FAILED fails · seed 4" in again.output
    kept.write_text(kept.read_text().replace("'0.99'", "'0.25'").replace("reached: [crash]", "reached: [ok]"))
    fixed = refgate("replay", kept, "--timeline")
    assert fixed.exit_code == 0 and "FIXED fails · seed 4" in fixed.output
    assert "all faults are over" in fixed.output and "the run ended" in fixed.output


def test_a_scenario_replays_with_a_seed(refgate):
    """A file that never failed can be looked at as well."""
    result = refgate("replay", DATA / "holds.yaml", "--seed", 2)
    assert result.exit_code == 0 and "HOLDS holds · seed 2" in result.output


def test_versions_that_differ_are_told(refgate):
    """A failure may hang on them."""
    refgate("run", DATA / "fails.yaml", "--seed", 4)
    kept = Path(".refgate/failures/fails-4.yaml")
    kept.write_text(kept.read_text().replace("anyio: ", "anyio: 0."))
    assert "another version than when it failed: anyio 0." in refgate("replay", kept).output


def test_crash_everywhere(refgate):
    """Each await, and each commit on both sides; a failing place is kept with its crash."""
    result = refgate("run", DATA / "holds.yaml", "--crash-everywhere", "--json", "o.json")
    assert result.exit_code == 0, result.output
    document = json.loads(Path("o.json").read_text())
    labels = [one["label"] for one in document["runs"]]
    assert labels[0] == "" and labels[1] == "gateway-0 await 1" and labels[-1].startswith("gateway-0 commit ")
    assert "gateway-0 commit 3 before" in labels and "gateway-0 commit 3 after" in labels
    assert all(one["unapplied"] == [] for one in document["runs"])
    assert f"{len(labels) - 1} places for a crash" in result.output


def test_several_processes_give_the_same_in_the_same_order(refgate):
    """Whoever plays a run, it is the same run."""
    refgate("run", DATA / "holds.yaml", DATA / "fails.yaml", "--seeds", 3, "--json", "one.json")
    refgate("run", DATA / "holds.yaml", DATA / "fails.yaml", "--seeds", 3, "-j", 2, "--json", "two.json")
    one, two = (json.loads(Path(name).read_text())["runs"] for name in ("one.json", "two.json"))
    assert [(run["name"], run["seed"], run["digest"]) for run in one] == [
        (run["name"], run["seed"], run["digest"]) for run in two
    ]


def test_drawn_scenarios_hold(refgate):
    """A few scenarios nobody wrote, played and judged; what there was is told, untested promises too."""
    result = refgate("explore", "--examples", 9, "--seed", 3)
    assert result.exit_code == 0, result.output
    assert "9 drawn scenarios" in result.output


def test_a_bad_budget_ends_with_2(refgate):
    """The option, and how it is written."""
    result = refgate("explore", "--budget", "soon")
    assert result.exit_code == 2
    assert "--budget" in result.output and "30s" in result.output


def test_invariants_are_listed(refgate):
    """Every promise with its statement."""
    output = refgate("invariants").output
    for name in ("finalize-at-most-once", "every-hold-ends", "deterministic", "run-sound"):
        assert name in output


def test_the_schema_is_printed(refgate):
    """As JSON that editors take."""
    assert json.loads(refgate("schema").output)["title"] == "Scenario"


def test_every_command_has_an_example(refgate):
    """Nobody should have to guess."""
    for command in ("run", "replay", "invariants", "schema", "serve", "sabotage"):
        assert f"refgate {command}" in refgate(command, "--help").output.partition("xample")[2]


def test_help_is_quick():
    """Neither the gateway nor the engine is imported to say what the command can do."""
    code = (
        "import sys; from refgate import cli\n"
        "try: cli._app(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted(name for name in ('starlette', 'httpx', 'pydantic', 'scenarios', 'fakes', 'yaml')"
        " if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_package_that_shadows_ours_is_told(tmp_path):
    """`fakes` is a common name: say whose was imported, and what to do."""
    (tmp_path / "fakes.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", "from refgate.cli import main; main()", "run"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert "another package called 'fakes' is in the way" in done.stderr and str(tmp_path) in done.stderr


def test_the_suite_is_the_default():
    """Names are paths within it."""
    names = [one.name for one in chosen([], None)]
    assert "first/embedded" in names and len(names) >= 25
    assert [one.name for one in chosen(["first/embedded"], None)] == ["first/embedded"]
    assert {one.name.partition("/")[0] for one in chosen(["first"], None)} == {"first"}
    assert chosen([str(SUITE / "first" / "embedded.yaml")], None)[0].name == "first/embedded"


def test_names_are_paths_within_a_folder(tmp_path):
    """Two files of one name in two folders are told apart."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.yaml").write_text((DATA / "holds.yaml").read_text())
    assert [one.name for one in chosen([str(tmp_path)], None)] == ["a/x", "b/x"]
    assert load(DATA / "holds.yaml").name == "holds"


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("crash", True),
        ("CRASH", True),
        ("a5", True),
        ("storm", False),
        ("not storm", True),
        ("crash and not storm", True),
        ("storm or crash", True),
        ("storm or storm and crash", False),
        ("(storm or crash) and a5", True),
        ("not (crash or storm)", False),
        ("not not crash", True),
    ],
)
def test_expressions(expression: str, holds: bool):
    """Words match parts of names and hazards; `not` binds tighter than `and`, `and` than `or`."""
    assert matches(expression, ("crashes/at-a-commit", "A5")) is holds


@pytest.mark.parametrize("expression", ["", "and", "a or", "(a", "a)", "a b", "not"])
def test_expressions_that_are_none(expression: str):
    """What cannot be read is refused, not guessed."""
    with pytest.raises(BadExpression):
        matches(expression, ("a", "b"))
