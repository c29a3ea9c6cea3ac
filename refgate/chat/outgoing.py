"""What is sent to each backend for one call: path, headers, body; and which backends the call can go to.

A backend that cannot be told all that the caller said is no choice for this call; where none is left, the
caller is told what could not be said. Between like protocols the bytes pass. Nothing of the caller's own
headers goes to a backend.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from refgate.config.models import Backend, Member, Model
from refgate.config.settings import Settings
from refgate.dialects.canonical import Malformed, Protocol, Request, Untranslatable
from refgate.dialects.passing import Asked as Plain
from refgate.dialects.passing import pass_request
from refgate.dialects.registry import provider_path, read_request, write_request
from refgate.headers import AGENT, Pairs
from refgate.upstream import Outgoing

__all__ = ["Outbox", "Place", "outbox", "spoken_to"]

Place = tuple[str, str]
"""A pool and a backend in it."""

_ANTHROPIC_VERSION = "2023-06-01"
_DIALECTS = {
    "openai": Protocol.OPENAI_CHAT,
    "anthropic": Protocol.ANTHROPIC,
    "gemini": Protocol.GEMINI,
}
_OF_OPENAI = (Protocol.OPENAI_CHAT, Protocol.OPENAI_RESPONSES, Protocol.OPENAI_EMBEDDINGS)


def spoken_to(protocol: Protocol, backend: Backend) -> Protocol:
    """The protocol in which a backend is asked, for a caller of this one."""
    if backend.dialect == "openai" and protocol in _OF_OPENAI:
        return protocol
    return _DIALECTS[backend.dialect]


class Outbox:
    """The requests of one call, each written when it is first wanted."""

    def __init__(
        self, settings: Settings, protocol: Protocol, body: bytes, plain: Plain, model: Model
    ) -> None:
        self._settings = settings
        self._protocol = protocol
        self._body = body
        self._plain = plain
        self._output_max = model.output_max
        self._written: dict[tuple[Protocol, str], bytes] = {}
        self.request: Request | None = None  # for backends of other protocols
        self.places: dict[Place, str] = {}  # where the call may go, and what the model is called there

    def write(self, backend: str, model: str) -> Outgoing:
        """The request to this backend, for its model of this name."""
        declared = self._settings.backends[backend]
        target = spoken_to(self._protocol, declared)
        stream = self._plain.stream and target is not Protocol.OPENAI_EMBEDDINGS
        path = provider_path(target, model, stream=stream)
        headers = (*_headers(declared), ("accept", "text/event-stream" if stream else "application/json"))
        return Outgoing("POST", declared.base_url + path, headers, self.body(target, model))

    def body(self, target: Protocol, model: str) -> bytes:
        """Raises Malformed, or Untranslatable, where it cannot be said."""
        found = self._written.get((target, model))
        if found is None:
            if target is self._protocol:
                found = pass_request(target, self._body, model, asked=self._plain)
            else:
                assert self.request is not None
                found = write_request(
                    self.request, self._protocol, target, model, max_tokens_default=self._output_max
                )
            self._written[target, model] = found
        return found


def outbox(
    settings: Settings, protocol: Protocol, body: bytes, document: dict[str, Any], plain: Plain, model: Model
) -> Outbox:
    """Raises Malformed or Untranslatable where no backend of the model can be told what the caller said."""
    made = Outbox(settings, protocol, body, plain, model)
    members = list(_members(settings, protocol, model))
    if any(target is protocol for _, _, target in members):
        # What like protocols refuse, nobody could take.
        made.body(protocol, next(one.model for _, one, target in members if target is protocol))
    first: Malformed | Untranslatable | None = None
    sayable: dict[tuple[Protocol, str], bool] = {}
    for pool, member, target in members:
        way = target, member.model
        if way not in sayable:
            try:
                if target is not protocol and made.request is None and first is None:
                    made.request = _read(protocol, document, plain)
                sayable[way] = target is protocol or (made.request is not None and bool(made.body(*way)))
            except (Malformed, Untranslatable) as refused:
                first = first or refused
                sayable[way] = False
        if sayable[way]:
            made.places[pool, member.backend] = member.model
    if not made.places:
        assert first is not None
        raise first
    return made


def _read(protocol: Protocol, document: dict[str, Any], plain: Plain) -> Request:
    if protocol is Protocol.GEMINI:
        return read_request(protocol, document, model=plain.model, stream=plain.stream)
    return read_request(protocol, document)


def _members(settings: Settings, protocol: Protocol, model: Model) -> Iterator[tuple[str, Member, Protocol]]:
    for pool in model.pools:
        for member in pool.backends:
            yield pool.name, member, spoken_to(protocol, settings.backends[member.backend])


def _headers(backend: Backend) -> Pairs:
    """All that a backend is told beside the body: nothing of it comes from the caller."""
    return (*_credential(backend), *_ALWAYS)


_ALWAYS = (("content-type", "application/json"), ("accept-encoding", "identity"), ("user-agent", AGENT))


def _credential(backend: Backend) -> Pairs:
    key = backend.key.reveal()
    match backend.dialect:
        case "openai":
            return (("authorization", f"Bearer {key}"),)
        case "anthropic":
            return (("x-api-key", key), ("anthropic-version", _ANTHROPIC_VERSION))
        case "gemini":
            return (("x-goog-api-key", key),)
