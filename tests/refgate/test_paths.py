"""Paths are read one way or not at all, and what is matched is what is sent."""

from __future__ import annotations

from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refgate.paths import BadPath, Path, Pattern, fill, query_text

SEGMENT = st.text(min_size=1, max_size=20).filter(
    lambda text: (
        not any(ord(char) < 0x20 or 0x7F <= ord(char) <= 0x9F for char in text)
        and not set(text) & set("/\\%")
        and text.split(";")[0] not in (".", "..")
        and text.isprintable()
    )
)


@given(st.lists(SEGMENT, min_size=1, max_size=6), st.booleans())
def test_a_plain_path_comes_out_as_it_was_meant(segments: list[str], slash: bool) -> None:
    """Whatever was escaped and whatever was not: one path has one written form, which means the same."""
    loosely = "/" + "/".join(quote(one, safe="!$&'()*+,;=:@") for one in segments) + ("/" if slash else "")
    strictly = "/" + "/".join(quote(one, safe="") for one in segments) + ("/" if slash else "")
    first, second = Path.parse(loosely.encode()), Path.parse(strictly.encode())
    assert first == second
    assert first.significant == tuple(segments)
    assert Path.parse(first.text.encode()) == first
    assert unquote(first.text) == "/" + "/".join(segments) + ("/" if slash else "")


@given(st.binary(max_size=40))
def test_whatever_comes_is_refused_or_canonical(raw: bytes) -> None:
    """Any bytes at all: a path that passes has no empty, dot or ambiguous segment left in it."""
    try:
        path = Path.parse(b"/" + raw)
    except BadPath:
        return
    assert path.text.isascii() and path.text.startswith("/") and "//" not in path.text
    for segment in path.text[1:].split("/"):
        assert unquote(segment).split(";")[0] not in (".", "..")
        assert not set(unquote(segment)) & set("/\\\r\n\0")
    assert Path.parse(path.text.encode()) == path


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"rh/x",
        b"//evil.example",
        b"/a//b",
        b"/a/../b",
        b"/a/./b",
        b"/a/..",
        b"/a/%2e%2e/b",
        b"/a/.%2E/b",
        b"/a/..;/b",
        b"/a/..;v=1/b",
        b"/a/%2f/b",
        b"/a%2Fb",
        b"/a%5cb",
        b"/a\\b",
        b"/a%00b",
        b"/a%0d%0ab",
        b"/a\x7fb",
        b"/a%c2%85b",
        b"/a%252fb",
        b"/a%252e%252e",
        b"/a%zz",
        b"/a%",
        b"/a%ff",
        b"/\xff",
        b"/" + b"a" * 5000,
    ],
)
def test_tricks_are_refused(raw: bytes) -> None:
    """Nothing that one reader takes for another path gets through."""
    with pytest.raises(BadPath):
        Path.parse(raw)


@pytest.mark.parametrize("raw", [b"a b", b"a#b", b"a\r\nb", b"\xff", b"a" * 10_000])
def test_a_query_string_is_plain_or_refused(raw: bytes) -> None:
    """A query string goes on as it came, if every server reads it alike."""
    assert query_text(b"task_id=1&x=%20y") == "task_id=1&x=%20y"
    with pytest.raises(BadPath):
        query_text(raw)


@pytest.mark.parametrize(
    ("pattern", "method", "path", "captures"),
    [
        ("POST /v1/*", "POST", "/v1/a", {}),
        ("POST /v1/*", "POST", "/v1/a/", {}),
        ("POST /v1/*", "POST", "/v1/a/b", None),
        ("POST /v1/*", "GET", "/v1/a", None),
        ("POST /v1/**", "POST", "/v1", {}),
        ("POST /v1/**", "POST", "/v1/a/b/c", {}),
        ("POST /v1/**", "POST", "/v10", None),
        ("ANY /**", "DELETE", "/", {}),
        ("ANY /", "GET", "/", {}),
        ("GET /v1/{kind}/{task_id}", "GET", "/v1/text%32video/t-1", {"kind": "text2video", "task_id": "t-1"}),
        ("GET /**/requests/{task_id}", "GET", "/fal-ai/flux/dev/requests/9", {"task_id": "9"}),
        ("GET /**/requests/{task_id}", "GET", "/requests/9", {"task_id": "9"}),
        ("GET /**/requests/{task_id}", "GET", "/requests", None),
        ("GET /a/**/a", "GET", "/a", None),
    ],
)
def test_a_pattern_meets_its_paths(
    pattern: str, method: str, path: str, captures: dict[str, str] | None
) -> None:
    """One star is one segment, two are any number, a name is one segment that is captured."""
    assert Pattern.parse(pattern).match(method, Path.parse(path.encode())) == captures


@pytest.mark.parametrize(
    "text",
    ["/v1", "post /v1", "POST v1", "POST /a//b", "POST /a*b", "POST /{A}", "POST /{x}y", "POST /**/**",
     "POST /..", "GET /{a}/{a}", "POST /a/"],
)  # fmt: skip
def test_a_pattern_that_could_mislead_is_refused(text: str) -> None:
    """A pattern that would match nothing, or not what it seems to, is an error at start."""
    with pytest.raises(ValueError, match="'"):
        Pattern.parse(text)


@given(st.text(max_size=30))
def test_a_filled_template_has_the_shape_of_the_template(value: str) -> None:
    """Whatever a provider chose for a task id, it stays one segment and one value."""
    value = value.encode("utf-8", "replace").decode()
    filled = fill("{submit_path}/{task_id}/x?id={task_id}", {"submit_path": "/a/b", "task_id": value})
    path, _, query = filled.partition("?")
    assert path.split("/")[1:3] == ["a", "b"] and path.count("/") == 4
    assert unquote(path.split("/")[3]) == value
    assert unquote(query) == f"id={value}" and "&" not in query


def test_every_pattern_has_a_sample_that_it_matches() -> None:
    """The sample is what start-up checks lead other routes with."""
    for text in ("POST /v1/**", "GET /{a}/*/b", "ANY /**", "GET /x"):
        pattern = Pattern.parse(text)
        assert pattern.match(pattern.method, pattern.sample()) is not None
        assert str(pattern) == text
