"""The gateway's own name for a submit, where a configuration declares one, read from the request.

A provider that honours it does the work once; a gateway that is told to send an unknown submit again must
send it under the same label. Read from the bytes that the provider received.
"""

from __future__ import annotations

from scenarios.checks.parts import Served, Task, header
from scenarios.checks.reading import read_json
from scenarios.checks.view import View
from scenarios.declared.gateway import Declared
from scenarios.declared.providers import Provider

__all__ = ["label_in", "label_of"]


def label_in(served: Served, provider: Provider) -> str | None:
    """The label that this submit carried; None where none is declared or none was there."""
    if provider.label_header is not None:
        return header(served.received.headers, provider.label_header)
    if provider.label_field is not None:
        body = read_json(served.received.body)
        found = body.get(provider.label_field) if isinstance(body, dict) else None
        return found if isinstance(found, str) else None
    return None


def label_of(task: Task, view: View, declared: Declared) -> str | None:
    """The label of the submit that started this task, where sending again under it is declared."""
    provider = declared.providers.get(task.provider)
    if provider is None or provider.resolve != "resend":
        return None
    served = view.request_of(task)
    return None if served is None else label_in(served, provider)
