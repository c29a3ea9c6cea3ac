"""JSON as the fakes read and write it, whoever sent it."""

from __future__ import annotations

import json

import pytest

from fakes.json_text import DEPTH_MAX, Raw, json_bytes, parsed


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def test_what_can_be_read_can_be_written_again() -> None:
    """Also inside an answer, and beside a number to the letter, which is written another way."""
    deepest = parsed(nested(DEPTH_MAX))
    assert deepest is not None
    answer = {"input": {"value": deepest}, "time": Raw("0.50")}
    assert json.loads(json_bytes(answer))["input"]["value"] == deepest
    assert json.loads(json_bytes({"input": {"value": deepest}}))["input"]["value"] == deepest


@pytest.mark.parametrize(
    "body",
    [
        *(nested(depth) for depth in (DEPTH_MAX + 1, 500, 100_000)),
        b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1),
        b"NaN",
        b'{"a":-Infinity}',
        b"{",
        b"\xff",
        b"",
        b"1" * 5_000,
    ],
)
def test_what_is_no_json_is_nothing(body: bytes) -> None:
    """Too deep, no number at all, cut, no text: never an error."""
    assert parsed(body) is None


def test_many_brackets_side_by_side_are_not_deep() -> None:
    """Depth is what counts."""
    assert parsed(b"[" + b"[]," * 1_000 + b"{}]") == [[]] * 1_000 + [{}]


@pytest.mark.parametrize("ascii", [True, False])
def test_half_a_letter_is_written_as_it_was_read(ascii: bool) -> None:
    """UTF-8 has no bytes for it; an escape has."""
    read = parsed(b'{"name":"\\ud800 \\u00e9"}')
    assert json.loads(json_bytes(read, ascii=ascii)) == read
