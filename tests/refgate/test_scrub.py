"""A provider's credential that comes back in an answer does not reach the caller."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from refgate.scrub import Scrubber, scrub

SECRET = "ab-aab"
BODY = st.lists(st.sampled_from([b"ab", b"-", b"a", b"b", b"ab-aab", b"xyz"]), max_size=20).map(b"".join)


@given(BODY, st.lists(st.integers(0, 60), max_size=8))
def test_any_chunking_gives_the_same(body: bytes, cuts: list[int]) -> None:
    """However a body is cut into pieces, what comes out is what comes out of the whole."""
    at = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    scrubber = Scrubber(SECRET)
    pieces = [scrubber.feed(body[one:two]) for one, two in pairwise(at)]
    assert b"".join([*pieces, scrubber.rest()]) == scrub(body, SECRET)
    assert SECRET.encode() not in b"".join(pieces)


@given(st.binary(max_size=200))
def test_other_bodies_pass_byte_for_byte(body: bytes) -> None:
    """Without the secret in it a body is not touched."""
    scrubber = Scrubber("a secret that is not in there")
    assert scrubber.feed(body) + scrubber.rest() == body


def test_nothing_waits_that_need_not() -> None:
    """A piece that cannot begin the secret goes on at once: a stream is not held up."""
    scrubber = Scrubber(SECRET)
    assert scrubber.feed(b"event: 1\n\n") == b"event: 1\n\n"
    assert scrubber.feed(b"...ab-") == b"..."
    assert scrubber.feed(b"no") == b"ab-no"
