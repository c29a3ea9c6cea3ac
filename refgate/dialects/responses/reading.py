"""A provider's Responses stream → events. Usage is in the closing event alone, whichever that is."""

from __future__ import annotations

from typing import Any

from refgate.dialects.faults import broken, fault_in_body, truncated
from refgate.dialects.json_text import as_map, as_text
from refgate.dialects.responses.answer import finish_of
from refgate.dialects.spoken import (
    Began,
    CallBegan,
    CallSaid,
    Done,
    Event,
    Finish,
    RefusalSaid,
    TextSaid,
    ThoughtSaid,
    ThoughtSigned,
)
from refgate.dialects.sse import Frame
from refgate.dialects.usage import read_responses
from refgate.dialects.watch import Watch, parsed

__all__ = ["StreamReader"]

_STRAY = broken("arguments came for a call that had not begun")


class StreamReader(Watch):
    """Reads a Responses stream."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, int] = {}  # output index of a call -> its number
        self._finish: Finish | None = None
        self._refused = False

    def read(self, frame: Frame) -> list[Event]:
        said = parsed(frame)
        if said is None:
            return self.broke(broken("an event is not a JSON object")) if frame.closed else []
        kind = as_text(said.get("type"))
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            return self._close(as_map(said.get("response")))
        fault = fault_in_body(said)
        if fault is not None:
            return self.broke(fault)
        delta = as_text(said.get("delta"))
        match kind:
            case "response.created" | "response.in_progress":
                return self._open(as_map(said.get("response")))
            case "response.output_text.delta" if delta:
                return [TextSaid(delta)]
            case "response.refusal.delta" if delta:
                self._refused = True
                return [RefusalSaid(delta)]
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" if delta:
                return [ThoughtSaid(delta)]
            case "response.output_item.added":
                return self._item(said.get("output_index"), as_map(said.get("item")))
            case "response.output_item.done":
                return self._item_done(as_map(said.get("item")))
            case "response.function_call_arguments.delta" if delta:
                index = said.get("output_index")
                call = self._calls.get(index) if isinstance(index, int) else None
                return [CallSaid(call, delta)] if call is not None else self.broke(_STRAY)
        return []

    def closing(self) -> list[Event]:
        if self._finish is None:
            return self.broke(truncated())
        finish = self._finish
        if finish is Finish.STOP and self._calls:
            finish = Finish.TOOL_CALLS
        elif finish is Finish.STOP and self._refused:
            finish = Finish.REFUSAL
        return [Done(finish, self.metered, self.model, service_tier=self.service_tier, notes=self.notes)]

    def _open(self, response: dict[str, Any]) -> list[Event]:
        self.served(response.get("model"))
        if self.began:
            return []
        self.began = True
        return [Began(as_text(response.get("id")), self.model)]

    def _item(self, index: Any, item: dict[str, Any]) -> list[Event]:
        match item.get("type"):
            case "function_call" if isinstance(index, int):
                self._calls[index] = len(self._calls)
                return [
                    CallBegan(self._calls[index], as_text(item.get("call_id")), as_text(item.get("name")))
                ]
            case "message" | "reasoning":
                return []
        self.note("parts_left_out")
        return []

    def _item_done(self, item: dict[str, Any]) -> list[Event]:
        sealed = item.get("encrypted_content")
        if item.get("type") == "reasoning" and isinstance(sealed, str):
            return [ThoughtSigned(sealed)]
        return []

    def _close(self, response: dict[str, Any]) -> list[Event]:
        self.served(response.get("model"), response.get("service_tier"))
        if response.get("usage") is not None:
            self.counted(read_responses(response["usage"]))
        self._finish = finish_of(response)
        if self._finish is None:
            return self.broke(fault_in_body(response) or broken("the response failed"))
        self.over = True
        return []
