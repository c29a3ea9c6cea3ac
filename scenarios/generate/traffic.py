"""What the clients of a drawn scenario do: tasks with all their habits, and raw requests of every kind.

Bounded, so that an example plays in a moment: a few calls a block, a few polls a call. Every wait and every
habit of clients that a scenario file knows may be drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hypothesis.strategies import DrawFn

from scenarios.generate.gateway import NAMES, Known
from scenarios.generate.plain import (
    Plain,
    Word,
    either,
    fields,
    lists_of,
    scaled,
    seldom,
    sometimes,
    spans,
    whole,
)

__all__ = ["arrivals", "draw_traffic"]

_BLOCKS_MAX = 3
_BEGIN_MS = 20_000

_OTHER_SUBMITS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "runninghub": ("/openapi/v2/image/upscale",),
        "kling": ("/v1/videos/image2video",),
        "replicate": ("/v1/models/acme/upscaler/predictions",),
        "fal": ("/acme/upscaler",),
        "dashscope": ("/api/v1/services/aigc/text2image/image-synthesis",),
        "minimax": (),
    }
)
"""Submit paths of a vendor beside its usual one."""

_POLLS: Mapping[str, tuple[str, str, bool]] = MappingProxyType(
    {
        "runninghub": ("POST", "/openapi/v2/query", True),
        "kling": ("GET", "/v1/videos/text2video/{id}", False),
        "replicate": ("GET", "/v1/predictions/{id}", False),
        "fal": ("GET", "/fal-ai/fast-sdxl/requests/{id}/status", False),
        "dashscope": ("GET", "/api/v1/tasks/{id}", False),
        "minimax": ("GET", "/v1/query/video_generation?task_id={id}", False),
    }
)
"""How a task is asked about, for ids that a client made up; and whether the id is in the body."""

_SUBMITS: Mapping[str, str] = MappingProxyType(
    {
        "runninghub": "/openapi/v2/video/text-to-video",
        "kling": "/v1/videos/text2video",
        "replicate": "/v1/predictions",
        "fal": "/fal-ai/fast-sdxl",
        "dashscope": "/api/v1/services/aigc/video-generation/video-synthesis",
        "minimax": "/v1/video_generation",
    }
)

_PATHS = (
    "/anything",
    "/files?page=2&nonce=n00001",
    "/a%20b/%C3%BC",
    "/v1/../v1/x",
    "/%2e%2e/x",
    "/a%2fb",
    "//evil.test/x",
    "/a\\b",
    "/x%00",
    "/x;y=1",
    "",
)
_FOREIGN_PATHS = (
    "/api/proxy/nowhere/v1/x",
    "/api/proxy/",
    "/api/proxy",
    "/",
    "/admin/calls",
    "/healthz",
    "/readyz",
)
_HEADERS: tuple[Mapping[str, str], ...] = (
    {"authorization": "Bearer wrong"},
    {"authorization": "Basic Zm9vOmJhcg=="},
    {"authorization": ""},
    {"x-thread-id": "bob"},
    {"x-thread-id": "nobody"},
    {"x-thread-id": "a b"},
    {"x-idempotency-key": "raw-1"},
    {"x-idempotency-key": "two words"},
    {"x-idempotency-key": ""},
    {"cookie": "session=1", "x-api-key": "theirs", "x-forwarded-for": "10.0.0.1"},
    {"content-type": "text/plain"},
    {"accept-encoding": "gzip, br"},
    {"connection": "close, x-api-key"},
    {"expect": "100-continue"},
)
_BODIES: tuple[Plain, ...] = (
    {},
    {"json": {"prompt": "a boat"}},
    {"json": {}},
    {"json": []},
    {"json": "text"},
    {"json": {"prompt": "x", "nonce": 7}},
    {"text": "{"},
    {"text": "not json"},
    {"filler": "3KiB"},
    {"filler": "100KiB"},
    {"filler": "1025KiB"},
)


def draw_traffic(draw: DrawFn, gateway: Known) -> list[Plain]:
    """One block at least, and the first of them tasks."""
    tasks, raw = _tasks(gateway), _raw(gateway)
    kinds = either(tasks, raw)
    first = tasks(draw)
    more: list[Plain] = draw(lists_of(lambda draw: kinds(draw)(draw), most=_BLOCKS_MAX - 1))
    return [first, *more]


def _wire(name: str) -> str:
    return next(wire for wire, one in NAMES.items() if one == name)


# Both.

_HOW = either("one", "some", "turns", "rate")
_AT = fields(at=sometimes(spans(500, _BEGIN_MS, by_ms=500)))
_SOME = fields(clients=whole(2, 5), spread=sometimes(spans(10, 10_000, by_ms=10)))
_TURNS = fields(times=whole(2, 4), pause=sometimes(spans(0, 20_000, by_ms=500)))
_A_MINUTE = either(6, 12, 30, 60)
_EVENLY = fields(arrivals=sometimes(either("even")))


def arrivals(draw: DrawFn) -> Plain:
    """A few clients at once or in turn, or calls at a rate: never more than a few."""
    found: Plain = _AT(draw)
    match _HOW(draw):
        case "some":
            found |= _SOME(draw)
        case "turns":
            found |= _TURNS(draw)
        case "rate":
            a_minute = _A_MINUTE(draw)
            lasting = spans(1_000, 5 * 60_000 // a_minute, by_ms=1_000)
            found |= {"rate": f"{a_minute}/m", "for": lasting(draw), **_EVENLY(draw)}
    return found


# Tasks.

_ACCOUNT = either("alice", "bob")
_KEY = either("own", "shared", "none")
_NOBODY_POLLS = either(False, False, False, False, False, True)
_RETRY = fields(
    attempts=sometimes(whole(2, 8)),
    on=sometimes(
        either([409], [504, "lost"], [409, 429, 500, 502, 503, 504, "lost"], [402, 413, 422, "lost"])
    ),
    wait=sometimes(spans(0, 20_000, by_ms=250)),
    wait_max=sometimes(spans(1_000, 20_000, by_ms=1_000)),
)
_MANNER = fields(
    body=seldom(either({"duration": "10"}, {"prompt": "ü" * 40}, {"hint": ["n00001"]})),
    headers=seldom(either({"x-api-key": "theirs"}, {"cookie": "a=b"}, {"accept": "*/*"})),
    leaves_after=seldom(spans(1, 20_000)),
    timeout=seldom(spans(1_000, 90_000, by_ms=1_000)),
    retry=sometimes(_RETRY),
)
_REPEATS = fields(
    copies=seldom(whole(2, 4)),
    again=seldom(fields(times=sometimes(whole(2, 3)), after=sometimes(spans(0, 60_000, by_ms=500)))),
    repeat_with_other_body=seldom(either(True)),
)
_THREAD = fields(thread=seldom(either("alice", "bob", "nobody")))
_TEAM_THREAD = fields(thread=sometimes(either("team-red", "alice", "bob", "team-blue")))
_EVERY = scaled(4, 10, 30)
_TIMES = either(20, 40, 3, 10)
_POLLING = fields(
    pollers=seldom(whole(2, 3)),
    keep_polling=seldom(whole(1, 3)),
    also_by=seldom(either(["bob"], ["alice"], ["alice", "bob"])),
    leaves_after=seldom(spans(1, 5_000)),
    result=seldom(either(True)),
)


def _tasks(gateway: Known) -> Word:
    named, thread = either(*gateway.names), _TEAM_THREAD if gateway.teams else _THREAD

    def word(draw: DrawFn) -> Plain:
        name, key = named(draw), _KEY(draw)
        others = _OTHER_SUBMITS[_wire(name)]
        block: Plain = {"send": "task", "provider": name, "account": _ACCOUNT(draw)}
        block |= {} if key == "own" else {"key": key}
        block |= {**arrivals(draw), **thread(draw), **_MANNER(draw)}
        block |= fields(path=seldom(either(*others)))(draw) if others else {}
        block |= _REPEATS(draw) if key != "none" else {}
        return {**block, "poll": None if _NOBODY_POLLS(draw) else _polls(draw)}

    return word


def _polls(draw: DrawFn) -> Plain:
    every_ms = _EVERY(draw) * 500
    give_up_ms = every_ms * _TIMES(draw)
    return {"every": f"{every_ms}ms", "give_up": f"{give_up_ms}ms", **_POLLING(draw)}


# Raw requests.

_WHO = either("bob", "alice", None)
_LEAVING = fields(leaves_after=seldom(spans(1, 10_000)))
_WHAT = either("through", "submit", "guess", "foreign")
_EXTRA = fields(headers=seldom(either(*_HEADERS)), wait=seldom(spans(0, 10_000, by_ms=100)))
_BODY = either(*_BODIES)
_ID = either("made-up", "1", "n00001", "a%20b", "..", "")
_FOREIGN = fields(method=seldom(either("POST", "HEAD")), path=either(*_FOREIGN_PATHS))
_METHOD = either("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_PATH = either(*_PATHS)


def _raw(gateway: Known) -> Word:
    named = either(*gateway.names)

    def request(draw: DrawFn) -> Plain:
        name = named(draw)
        return {**_asked(draw, f"/api/proxy/{name}", _wire(name)), **_EXTRA(draw)}

    requests = lists_of(request, least=1, most=4)

    def word(draw: DrawFn) -> Plain:
        account = _WHO(draw)
        return {
            "send": "http",
            **({"account": account} if account is not None else {}),
            **arrivals(draw),
            **_LEAVING(draw),
            "requests": draw(requests),
        }

    return word


def _asked(draw: DrawFn, root: str, wire: str) -> Plain:
    """Method, path and body of one raw request."""
    match _WHAT(draw):
        case "submit":
            return {"method": "POST", "path": root + _SUBMITS[wire], **_BODY(draw)}
        case "guess":
            method, path, in_body = _POLLS[wire]
            made_up = _ID(draw)
            asked: Plain = {"method": method, "path": root + path.replace("{id}", made_up)}
            return {**asked, "json": {"taskId": made_up}} if in_body else asked
        case "foreign":
            foreign: Plain = _FOREIGN(draw)
            return foreign
        case _:
            method = _METHOD(draw)
            found: Plain = {"method": method, "path": root + _PATH(draw)}
            return found if method in ("GET", "HEAD") else {**found, **_BODY(draw)}
