"""The list of promises as a page: every check with its statement, a theme after the other.

`python -m scenarios.checks.page` prints what stands in `docs/invariants.md`; a test compares the two.
"""

from __future__ import annotations

from types import MappingProxyType

from scenarios.checks import Check, all_checks

__all__ = ["THEMES", "page"]

THEMES = MappingProxyType(
    {
        "money": "What is held, charged and given back, against the work that really ran.",
        "idempotency": "What a repeat may cause, and what it must hear.",
        "routing": "What reaches a provider, and what the record says of it.",
        "time": "That everything ends, and that all is well afterwards.",
        "streams": "That what comes through is what was sent.",
        "secrets": "Keys, headers, accounts, and the limits of reach.",
        "record": "What is written down and kept, what is declared, and what two runs must agree on.",
    }
)
"""Theme → what it is about, in the order of the page."""

_HEAD = """\
# Invariants

The promises that every run is judged by. Each is one pure function over the history of the run and what the
gateway's configuration declares, in [`scenarios/checks/`](../scenarios/checks); the statement below is its
docstring. A check answers

- **holds**: it judged something, and found nothing against it;
- **broken**: with a plain sentence and the facts that prove it;
- **untested**: the scenario never reached what it judges, which is not a pass;
- **error**: the check itself failed, which is not a pass either (exit code 2).

Ground truth is what the outside saw: the journals of the fakes, what clients sent and received, and what the
gateway's read API says of its record. No check looks inside the gateway. Policies are inputs: a check asks
whether the gateway keeps what its configuration declares, not whether that was wise. A time-out is never a
verdict.

*This page is made from the code: `python -m scenarios.checks.page > docs/invariants.md`.*
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for theme, about in THEMES.items():
        found = [check for check in all_checks() if check.theme == theme]
        parts.append(f"\n## {theme.capitalize()}\n\n{about}\n\n| promise | statement |\n|---|---|\n")
        parts += [_row(check) for check in found]
    return "".join(parts)


def _row(check: Check) -> str:
    return f"| `{check.name}` | {check.statement} |\n"


if __name__ == "__main__":
    print(page(), end="")
