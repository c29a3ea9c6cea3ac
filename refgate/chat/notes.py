"""What is noted of one request: one row for the request log and, where it is on, its messages.

Exactly one row a request, refused ones too, and noted before its caller hears the end. Decides nothing, waits
for nothing, and knows the log as somebody who takes rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from refgate.chat.records import ChatEnd
from refgate.headers import Pairs
from refgate.requestlog.log import RequestLog, Tape
from refgate.requestlog.rows import RequestRow
from refgate.upstream import Outgoing, Stream

__all__ = ["Notes", "Subject"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is known of a request: of one that is refused at the door, not all of it."""

    protocol: str
    caller: str | None = None
    account: str | None = None
    model: str | None = None
    stream: bool = False


class Notes:
    """Made as the request comes in."""

    def __init__(self, log: RequestLog, clock: Callable[[], int], request_id: str, subject: Subject) -> None:
        self._log = log
        self._clock = clock
        self._id = request_id
        self._at_us = clock()
        self._noted = False
        self.subject = subject
        self.presented: str | None = None  # the key it came with

    def denied(self, code: str, status: int) -> None:
        self._note("denied", code, status)

    def failed(self, code: str, status: int) -> None:
        self._note("failed", code, status)

    def listed(self) -> None:
        """It asked what there is, and was told."""
        self._note("served", None, 200)

    def ended(self, end: ChatEnd, attempts: int) -> None:
        code = None if end.reason == end.outcome.value else end.reason
        self._note(end.outcome.value, code, end.status, end, attempts)

    def _note(
        self, outcome: str, code: str | None, status: int, end: ChatEnd | None = None, attempts: int = 0
    ) -> None:
        if self._noted:
            return
        self._noted = True
        about = self.subject
        row = RequestRow(
            request_id=self._id,
            at_us=self._at_us,
            caller=about.caller,
            account=about.account,
            protocol=about.protocol,
            model=about.model,
            stream=about.stream,
            outcome=outcome,
            code=code,
            status=status,
            backend=None if end is None else end.backend,
            attempts=attempts,
            amount_nanos=0 if end is None else end.amount_nanos,
            cache=None if end is None else end.cache,
            duration_us=self._clock() - self._at_us,
        )
        self._log.note(row, presented=self.presented)

    # --- messages ---

    def tape(self) -> Tape | None:
        return self._log.tape()

    def request(self, headers: Pairs, body: bytes) -> None:
        self._log.debug(self._id, "request", headers=headers, body=body, presented=self.presented)

    def upstream_request(self, backend: str, out: Outgoing) -> None:
        self._log.debug(
            self._id,
            "upstream_request",
            backend=backend,
            headers=out.headers,
            body=out.body,
            presented=self.presented,
        )

    def upstream_answer(self, backend: str, reply: Stream | None, tape: Tape | None) -> None:
        if reply is not None and tape is not None:
            self._log.debug(
                self._id,
                "upstream_answer",
                backend=backend,
                status=reply.status,
                headers=reply.headers,
                body=tape,
                presented=self.presented,
            )

    def answer(self, status: int | None, headers: Pairs, tape: Tape | None) -> None:
        """What the caller was told, or would have been had it stayed."""
        if status is not None and tape is not None:
            self._log.debug(
                self._id, "answer", status=status, headers=headers, body=tape, presented=self.presented
            )
