"""The command `refgate`: the one place that knows gateway, fakes and scenarios. Imports as late as it can.

Exit codes: 0 everything holds · 1 something is broken · 2 the input is wrong, or a check failed itself.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

__all__ = ["main"]

_app = typer.Typer(
    name="refgate",
    help="Test gateways that bill against the failures that cost money, in virtual time.",
    epilog="Exit codes: 0 everything holds, 1 something is broken, 2 the input is wrong, or a check failed."
    "\n\nExample:  refgate run --seeds 20",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_WRONG = 2


class _Shadowed(Exception):
    """Another package bears the name of one of ours."""


def main() -> None:
    """The console script."""
    try:
        _app()
    except _Shadowed as shadowed:
        _fail(str(shadowed))
    except Exception:
        # A mistake of refgate's own is no verdict on a gateway: not 1.
        traceback.print_exc()
        raise SystemExit(_WRONG) from None


def _fail(text: str) -> NoReturn:
    print(f"refgate: {text}", file=sys.stderr)
    raise SystemExit(_WRONG)


def _check_names() -> None:
    """`fakes` and `scenarios` are common names: stop if the ones imported are somebody else's."""
    import fakes
    import scenarios

    home = Path(__file__).resolve().parent.parent
    for package in (fakes, scenarios):
        found = Path(package.__file__).resolve().parent if package.__file__ else None
        if found is None or found.parent != home:
            name = package.__name__
            raise _Shadowed(
                f"another package called {name!r} is in the way: {found or 'a folder without code'}\n"
                f"  ours is {home / name}. Install refgate into a virtual environment of its own,\n"
                "  or start the command from a folder that has no such package."
            )


_Paths = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH", help="Files, folders, or names in the suite. Default: the suite."),
]
_Seed = Annotated[int | None, typer.Option("--seed", metavar="S", help="This seed alone, or the first.")]
_Workers = Annotated[int, typer.Option("-j", "--jobs", metavar="N", min=1, help="Processes.")]

_RUN_EXAMPLES = """
Examples:

\b
  refgate run                                    the built-in suite
  refgate run first/embedded --seeds 100         one file of it, a hundred seeds
  refgate run my/scenarios -k "crash and not remote" -j 4
  refgate run first/embedded --crash-everywhere  the power cut at every await and commit
  refgate run my/storm.yaml --seed 17 --junit report.xml
"""


@_app.command("run", short_help="Play scenarios and judge every promise.", epilog=_RUN_EXAMPLES)
def _run(
    paths: _Paths = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Seeds for each file. Default: 5, or 1 with --seed or --crash-everywhere.",
        ),
    ] = None,
    seed: _Seed = None,
    expression: Annotated[
        str | None, typer.Option("-k", metavar="EXPR", help="Names and hazards: 'A5 and not remote'.")
    ] = None,
    jobs: _Workers = 1,
    crash_everywhere: Annotated[
        bool, typer.Option("--crash-everywhere", help="Cut the power at every await and commit.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Compare with a fresh process and another hash seed.")
    ] = False,
    json: Annotated[Path | None, typer.Option(metavar="F", help="Write a JSON report.")] = None,
    junit: Annotated[Path | None, typer.Option(metavar="F", help="Write a JUnit report.")] = None,
) -> None:
    """Play scenarios against the reference gateway and judge every promise."""
    _check_names()
    from scenarios.mistakes import BadScenario
    from scenarios.reference import Reference
    from scenarios.report.console import Printer
    from scenarios.select import BadExpression, chosen
    from scenarios.session import SEEDS, Wish
    from scenarios.session import run as run_all

    try:
        files = chosen(paths or [], expression)
    except (BadScenario, BadExpression) as bad:
        _fail(str(bad))
    if not files:
        _fail("no scenario matches")
    one_by_one = seed is not None or crash_everywhere
    wish = Wish(
        seeds=seeds or (1 if one_by_one else SEEDS),
        seed=seed or 0,
        workers=jobs,
        crash_everywhere=crash_everywhere,
        fresh=fresh,
        json=json,
        junit=junit,
    )
    raise typer.Exit(run_all(files, wish, Reference(), Printer()))


_REPLAY_EXAMPLES = """
Examples:

\b
  refgate replay .refgate/failures/storm-17.yaml             says FIXED or FAILED
  refgate replay .refgate/failures/storm-17.yaml --timeline  with everything that happened
  refgate replay my/storm.yaml --seed 3
"""


@_app.command("replay", epilog=_REPLAY_EXAMPLES)
def _replay(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A kept failure, or a scenario.")],
    seed: _Seed = None,
    timeline: Annotated[bool, typer.Option("--timeline", help="Tell every fact in order.")] = False,
) -> None:
    """Play one failure again, with the seed it was kept with."""
    _check_names()
    from scenarios.mistakes import BadScenario
    from scenarios.reference import Reference
    from scenarios.report.console import Printer
    from scenarios.report.crashfile import take_up
    from scenarios.select import place
    from scenarios.session import replay as replay_one

    try:
        kept = take_up(place(file))
    except BadScenario as bad:
        _fail(str(bad))
    raise typer.Exit(replay_one(kept, Reference(), Printer(), seed=seed, timeline=timeline))


@_app.command("invariants", epilog="Example:  refgate invariants")
def _invariants() -> None:
    """List every promise that runs are judged by."""
    _check_names()
    from scenarios.report.promises import promises

    for theme, name, statement in promises():
        typer.echo(f"{theme:<12} {name:<32} {statement}")


@_app.command("schema", epilog="Example:  refgate schema > scenario.schema.json")
def _schema() -> None:
    """Print the JSON Schema of scenario files."""
    _check_names()
    import json

    from scenarios.model.scenario import schema as schema_of

    typer.echo(json.dumps(schema_of(), indent=2))


_SERVE_EXAMPLES = """
Examples:

\b
  refgate serve --config gateway.yaml --check   the settings in force, and whether they are accepted
  refgate serve --config gateway.yaml
"""


@_app.command("serve", epilog=_SERVE_EXAMPLES)
def _serve(
    config: Annotated[Path, typer.Option(metavar="F", help="The gateway's configuration file.")],
    check: Annotated[bool, typer.Option("--check", help="Print the settings in force, and stop.")] = False,
) -> None:
    """Serve the reference gateway for real."""
    import os

    from refgate import ConfigError, load_settings
    from refgate import serve as real

    try:
        settings = load_settings(config, os.environ)
    except ConfigError as bad:
        _fail(str(bad))
    raise typer.Exit(real.check(settings) if check else real.serve(settings))


_EXPLORE_EXAMPLES = """
Examples:

\b
  refgate explore                                 a minute of drawn scenarios
  refgate explore --budget 10m -j 2 --seed 7      ten minutes of other ones, in two processes
  refgate explore --examples 5000 --budget 1h     so many, as long as they take
  refgate explore --of chat                       chats alone
"""


@_app.command("explore", short_help="Draw scenarios, and shrink what breaks.", epilog=_EXPLORE_EXAMPLES)
def _explore(
    budget: Annotated[str, typer.Option(metavar="T", help="How long at most, as 60s or 5m.")] = "60s",
    examples: Annotated[int, typer.Option(metavar="N", min=1, help="How many at most.")] = 100_000,
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="The same seed and jobs draw the same.")] = 0,
    of: Annotated[Literal["tasks", "chat", "all"], typer.Option(help="What is drawn.")] = "all",
    jobs: _Workers = 1,
) -> None:
    """Draw scenarios at random, judge them, and shrink what breaks to a file."""
    _check_names()
    from fakes.durations import parse_us
    from scenarios.reference import Reference
    from scenarios.report.console import Printer

    try:
        budget_s = parse_us(budget) / 1e6
    except ValueError as bad:
        _fail(f"--budget: {bad}")
    try:
        from scenarios.generate.session import Wanted, run_explore
    except ModuleNotFoundError as missing:
        _fail(f"{missing.name} is not installed: pip install 'refgate[generate]'")
    wanted = Wanted(examples=examples, budget_s=budget_s, seed=seed, workers=jobs, of=of)
    explored = run_explore(wanted, Reference(), Printer())
    raise typer.Exit(explored.exit_code)


_SABOTAGE_EXAMPLES = """
Examples:

\b
  refgate sabotage                every hazard brought back, one at a time
  refgate sabotage A5 A12 -j 2    these two
"""


@_app.command("sabotage", short_help="Bring hazards back, and see them caught.", epilog=_SABOTAGE_EXAMPLES)
def _sabotage(
    hazards: Annotated[list[str] | None, typer.Argument(metavar="HAZARD", help="Default: all.")] = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Seeds to try at most.")] = 20,
    jobs: _Workers = 1,
    json: Annotated[Path | None, typer.Option(metavar="F", help="Write a JSON report.")] = None,
) -> None:
    """Prove that the checks bite: bring each hazard back and see which check catches it."""
    _check_names()
    from scenarios.sabotage import run_sabotage

    raise typer.Exit(run_sabotage(hazards or [], seeds=seeds, workers=jobs, json=json))


if __name__ == "__main__":
    main()
