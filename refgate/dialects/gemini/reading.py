"""A provider's streamGenerateContent stream (alt=sse) → events.

Each chunk is a whole response object; usage is cumulative, the last one stands. There is no closing event:
a stream without a finish reason was cut.
"""

from __future__ import annotations

from refgate.dialects.canonical import Text, Thinking, ToolCall
from refgate.dialects.faults import broken, fault_in_body, truncated
from refgate.dialects.gemini.answer import end_of, read_chunk
from refgate.dialects.json_text import as_list
from refgate.dialects.spoken import (
    Began,
    CallBegan,
    CallSaid,
    Done,
    Event,
    Fault,
    Finish,
    TextSaid,
    ThoughtSaid,
)
from refgate.dialects.sse import Frame
from refgate.dialects.usage import read_gemini
from refgate.dialects.watch import Watch, parsed

__all__ = ["StreamReader"]


class StreamReader(Watch):
    """Reads a stream; `call_prefix` makes ids for calls that come without one."""

    def __init__(self, *, call_prefix: str) -> None:
        super().__init__()
        self._prefix = call_prefix
        self._calls = 0
        self._word: str | None = None

    def read(self, frame: Frame) -> list[Event]:
        body = parsed(frame)
        if body is None:
            return self.broke(broken("a chunk is not a JSON object")) if frame.closed else []
        if body.get("usageMetadata") is not None:
            self.counted(read_gemini(body["usageMetadata"]))
        fault = fault_in_body(body)
        if fault is not None:
            return self.broke(fault)
        chunk = read_chunk(body, call_prefix=self._prefix, calls_before=self._calls)
        self.served(chunk.model, chunk.tier)
        if chunk.left_out:
            self.note("parts_left_out")
        if len(as_list(body.get("candidates"))) > 1:
            self.note("choices_left_out")
        events: list[Event] = []
        if not self.began:
            self.began = True
            events.append(Began(chunk.id, self.model))
        for part in chunk.parts:
            match part:
                case Text(text) if text:
                    events.append(TextSaid(text))
                case Thinking(text) if text:
                    events.append(ThoughtSaid(text))
                case ToolCall(call_id, name, arguments, mark):
                    events += [CallBegan(self._calls, call_id, name, mark), CallSaid(self._calls, arguments)]
                    self._calls += 1
        if chunk.word is not None:
            self._word = chunk.word
            self.over = True
        return events

    def closing(self) -> list[Event]:
        if self._word is None:
            return self.broke(truncated())
        finish = end_of(self._word, called=self._calls > 0)
        if isinstance(finish, Fault):
            return self.broke(finish)
        if finish is None:
            self.note("finish_unknown")
        return [
            Done(
                finish or Finish.STOP,
                self.metered,
                self.model,
                service_tier=self.service_tier,
                notes=self.notes,
            )
        ]
