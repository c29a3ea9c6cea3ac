"""What can be drawn: every act and fault there is, as a file; and what breaks comes out small."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from fakes.acts.vocabulary import BillingDo, ChatDo, ProviderDo
from fakes.journal import ActPlayed
from scenarios.generate import EVERY_KIND, Kinds, chats, scenarios, seeds
from scenarios.generate.explore import batches, explore, tell
from scenarios.history import Crashed, History, LinkChanged, Stopped, StoreFaulted
from scenarios.load import load_text
from scenarios.model.scenario import LinkDo, Scenario, to_yaml
from scenarios.reference import Reference
from scenarios.report.crashfile import take_up
from scenarios.run import play
from scenarios.sabotage.registry import named
from scenarios.sabotage.swap import applied
from scenarios.sweep import Job, play_job

# A key is seen twice only where an answer was lost, and the submit sent again; a tool is called where an act
# says so.
COMPANY = {"idempotency": ("accepted_and_lost",), "broken_tool_call": ("completes",)}
ONE_KIND = [
    *(Kinds(provider=(kind, *COMPANY.get(kind, ()))) for kind in EVERY_KIND.provider),
    *(Kinds(chat=(kind, *COMPANY.get(kind, ()))) for kind in EVERY_KIND.chat),
    *(Kinds(billing=(kind,)) for kind in EVERY_KIND.billing),
    *(Kinds(links=(kind,)) for kind in EVERY_KIND.links),
    *(Kinds(faults=(kind,)) for kind in EVERY_KIND.faults),
]
BATCHES_MAX = 12  # of ten examples each


def named_by(kinds: Kinds) -> str:
    who, kind = next((who, getattr(kinds, who)[0]) for who in Kinds.__slots__ if getattr(kinds, who))
    return f"{who}-{kind}"


def came(kinds: Kinds, history: History) -> bool:
    """Whether the misbehaviour that was drawn really befell somebody."""
    acts = {(fact.at == "billing", fact.act) for fact in history.of(ActPlayed) if fact.applied}
    crashes = {fact.where.split()[0] for fact in history.of(Crashed)}
    if kinds.provider or kinds.chat or kinds.billing:
        return (bool(kinds.billing), (kinds.provider or kinds.chat or kinds.billing)[0]) in acts
    if kinds.links:
        return kinds.links[0] in {fact.what for fact in history.of(LinkChanged)}
    match kinds.faults[0]:
        case "crash":
            return "time" in crashes
        case "crash_at_await":
            return "await" in crashes
        case "crash_at_commit":
            return "commit" in crashes
        case "stop":
            return bool(history.of(Stopped))
        case _:
            return bool(history.of(StoreFaulted))


def test_every_kind_can_be_drawn() -> None:
    """The tables name every act of the vocabulary and every fault of a link."""
    assert set(EVERY_KIND.provider) == set(ProviderDo.model_fields)
    assert set(EVERY_KIND.chat) == set(ChatDo.model_fields)
    assert set(EVERY_KIND.billing) == set(BillingDo.model_fields)
    assert set(EVERY_KIND.links) == set(LinkDo.model_fields)


@pytest.mark.parametrize("kinds", ONE_KIND, ids=named_by)
def test_every_kind_comes_to_pass(kinds: Kinds) -> None:
    """Drawn misbehaviour meets somebody: in scenarios of one kind alone, some run is soon befallen by it."""
    met: list[int] = []

    @settings(
        max_examples=10,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(chats(kinds) if kinds.chat else scenarios(kinds), seeds())
    def draw(scenario: Scenario, seed: int) -> None:
        if not met and came(kinds, play(scenario, seed, gateway=Reference(), judged=False).history):
            met.append(seed)

    for number in range(BATCHES_MAX):
        seeded(number)(draw)()
        if met:
            return
    pytest.fail(f"{named_by(kinds)} befell nobody in {10 * BATCHES_MAX} examples")


@given(scenario=st.one_of(scenarios(), chats()))
@settings(database=None, suppress_health_check=list(HealthCheck))
def test_a_drawn_scenario_is_a_file(scenario: Scenario) -> None:
    """What is printed reads back as the very same scenario."""
    assert load_text(to_yaml(scenario), source="drawn", folder=Path()) == scenario


def test_a_planted_bug_is_found_and_shrinks_to_a_small_file(tmp_path: Path) -> None:
    """A gateway that takes a lost answer for a no: found soon, told as a file that fits on a page, and the
    command that is told with it plays it again: broken with that gateway, whole with the honest one."""
    with applied(named("A4/silence-is-a-no")):
        hunted = next(one for one in explore(batches(300, Reference())) if one.found)
        smallest = next(one for one in hunted.found if one.check == "success-is-charged")
        told = tell(smallest, folder=tmp_path)
    assert len(to_yaml(smallest.scenario).splitlines()) <= 25
    kept = take_up(next(tmp_path.glob("*.yaml")))
    assert to_yaml(kept.scenario) in told
    assert f"refgate replay {tmp_path}" in told
    assert kept.scenario == smallest.scenario and kept.seed is not None
    honest = play_job(Job(kept.name, None, kept.scenario, kept.seed, Reference()))
    assert honest.holds
