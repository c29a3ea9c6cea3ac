"""Server-sent events: whatever the chunks, the same frames; whatever the frames, the same bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refgate.dialects.sse import Frame, SseBroken, SseParser, encode


def frames(*chunks: bytes) -> list[Frame]:
    parser = SseParser()
    return [frame for chunk in chunks for frame in parser.feed(chunk)] + parser.close()


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [(None, "a")]),
        (b"data:a\r\n\r\ndata: b\r\n\r\n", [(None, "a"), (None, "b")]),
        (b"data: a\r\rdata: b\r\r", [(None, "a"), (None, "b")]),
        (b"event: x\ndata: 1\ndata: 2\n\n", [("x", "1\n2")]),
        (b": hello\n\ndata: a\n\n", [(None, None), (None, "a")]),
        (b"id: 7\nretry: 10\ndata\n\n", [(None, "")]),
        (b"data:  two spaces\n\n", [(None, " two spaces")]),
        (b"\xef\xbb\xbfdata: a\n\n", [(None, "a")]),
        ("data: grün\n\n".encode(), [(None, "grün")]),
        (b"data: \xff\n\n", [(None, "\ufffd")]),
        (b"", []),
    ],
)
def test_events_are_read_as_the_standard_says(stream: bytes, events: list[tuple[str, str]]) -> None:
    """Line ends of all three kinds, comments, several data lines, a byte order mark."""
    assert [(frame.event, frame.data) for frame in frames(stream)] == events


def test_what_is_left_over_is_not_a_closed_frame() -> None:
    """A stream that ends inside an event says so, and loses nothing."""
    assert frames(b"data: a\n\ndata: b") == [
        Frame(None, "a", b"data: a\n\n"),
        Frame(None, "b", b"data: b", closed=False),
    ]


@given(
    st.lists(
        st.sampled_from(
            [b"data: gr\xc3\xbcn", b"event: e", b": c", b"", b"\n", b"\r\n", b"\r", b"data:", b"\xff"]
        )
    ),
    st.data(),
)
def test_any_chunking_gives_the_same_frames(pieces: list[bytes], data: st.DataObject) -> None:
    """Also inside a character and between CR and LF; together the frames are the stream, byte for byte."""
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert frames(*chunks) == frames(stream)
    assert b"".join(frame.raw for frame in frames(stream)) == stream


def test_an_endless_event_is_refused() -> None:
    """Neither an endless line nor endless lines fill the memory."""
    for chunk in (b"x" * 1000, b"data: x\n" * 100):
        parser = SseParser(frame_bytes_max=4096)
        with pytest.raises(SseBroken):
            for _ in range(10):
                parser.feed(chunk)


@given(st.text(), st.sampled_from([None, "message_start"]))
def test_what_is_encoded_reads_back(data: str, event: str | None) -> None:
    """Line breaks inside become lines of their own."""
    (frame,) = frames(encode(data, event=event))
    expected = data.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
    assert (frame.event, frame.data, frame.closed) == (event, expected, True)
