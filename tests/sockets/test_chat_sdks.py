"""The three vendors' SDKs through `refgate serve`: answers, streams, their exceptions for failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors, types

from tests.sockets.chat_kit import Served, served

KEY = "canary-caller-alice"
SDKS = ("openai", "responses", "anthropic", "gemini")
ASLEEP = httpx2.AsyncClient(verify=False)
"""Google's SDK wants a client for calls that do not block, too, and would make a dear one."""
BACKENDS = ("east", "rome", "tokyo")


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def http() -> httpx2.Client:
    """No certificates to read: the SDKs' own clients take their time with that."""
    return httpx2.Client(trust_env=False, verify=False)


def of_openai(url: str, key: str, **more: Any) -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url=f"{url}/v1", max_retries=0, http_client=http(), **more)


def of_anthropic(url: str, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=key, base_url=url, max_retries=0, http_client=http())


def ask(
    there: Served, sdk: str, model: str, *, text: str = "hi nonce:abc", key: str = KEY, **more: Any
) -> str:
    """The text of a whole answer."""
    messages: Any = [{"role": "user", "content": text}]
    match sdk:
        case "openai":
            with of_openai(there.url, key) as client:
                answer = client.chat.completions.create(model=model, messages=messages, **more)
                return str(answer.choices[0].message.content)
        case "responses":
            with of_openai(there.url, key) as client:
                return str(client.responses.create(model=model, input=text, **more).output_text)
        case "anthropic":
            with of_anthropic(there.url, key) as claude:
                message = claude.messages.create(model=model, max_tokens=100, messages=messages, **more)
                return "".join(block.text for block in message.content if block.type == "text")
        case _:
            with http() as client:
                return str(
                    google(there, key, client).generate_content(model=model, contents=text, **more).text
                )


def google(there: Served, key: str, client: httpx2.Client) -> Any:
    options = types.HttpOptions(
        base_url=there.url, httpx_client=client, httpx_async_client=ASLEEP, timeout=10_000
    )
    return genai.Client(api_key=key, http_options=options).models


def hear(there: Served, sdk: str, model: str, *, text: str = "hi nonce:abc", key: str = KEY) -> list[str]:
    """The pieces of a streamed answer."""
    pieces: list[str] = []
    for piece in _pieces(there, sdk, model, text, key):
        pieces += [piece] if piece else []
    return pieces


def _pieces(there: Served, sdk: str, model: str, text: str, key: str) -> Iterator[str | None]:
    messages: Any = [{"role": "user", "content": text}]
    match sdk:
        case "openai":
            with (
                of_openai(there.url, key) as client,
                client.chat.completions.create(model=model, messages=messages, stream=True) as chunks,
            ):
                for chunk in chunks:
                    yield chunk.choices[0].delta.content if chunk.choices else None
        case "responses":
            with (
                of_openai(there.url, key) as client,
                client.responses.create(model=model, input=text, stream=True) as events,
            ):
                for event in events:
                    yield event.delta if event.type == "response.output_text.delta" else None
        case "anthropic":
            with (
                of_anthropic(there.url, key) as claude,
                claude.messages.stream(model=model, max_tokens=100, messages=messages) as stream,
            ):
                yield from stream.text_stream
                assert stream.get_final_message().stop_reason == "end_turn"
        case _:
            with http() as client:
                for one in google(there, key, client).generate_content_stream(model=model, contents=text):
                    yield one.text


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sdk", SDKS)
def test_every_sdk_hears_every_vendors_model(there: Served, sdk: str, backend: str) -> None:
    """Whole and streamed; in its own protocol, whatever the provider speaks."""
    expected = f"[nonce:abc by {backend}/"
    assert ask(there, sdk, backend).startswith(expected)
    pieces = hear(there, sdk, backend)
    assert "".join(pieces).startswith(expected)
    assert len(pieces) > 2


def test_models_and_embeddings(there: Served) -> None:
    """The names a caller may ask for; vectors."""
    with of_openai(there.url, KEY) as client:
        assert {"east", "rome", "tokyo", "embed"} <= {model.id for model in client.models.list()}
        (vector,) = client.embeddings.create(model="embed", input="hi nonce:abc").data
        assert len(vector.embedding) == 8
    with of_anthropic(there.url, KEY) as claude:
        assert "rome" in {model.id for model in claude.models.list()}
    with http() as client:
        assert "models/tokyo" in {model.name for model in google(there, KEY, client).list()}


def fault(call: Callable[[], Any]) -> Any:
    with pytest.raises((openai.APIError, anthropic.APIError, errors.APIError)) as raised:
        call()
    return raised.value


GOOGLES = {
    400: (errors.ClientError, "INVALID_ARGUMENT"),
    401: (errors.ClientError, "UNAUTHENTICATED"),
    402: (errors.ClientError, "FAILED_PRECONDITION"),
    404: (errors.ClientError, "NOT_FOUND"),
    413: (errors.ClientError, "INVALID_ARGUMENT"),
    502: (errors.ServerError, "INTERNAL"),
    503: (errors.ServerError, "UNAVAILABLE"),
    504: (errors.ServerError, "DEADLINE_EXCEEDED"),
}

# What is asked, and the class of OpenAI's SDK, that of Anthropic's, and the code of Google's.
FAULTS: dict[str, tuple[dict[str, Any], type[Exception], type[Exception], int]] = {
    "an unknown key": ({"key": "nobody"}, openai.AuthenticationError, anthropic.AuthenticationError, 401),
    "an unknown model": ({"model": "nothing"}, openai.NotFoundError, anthropic.NotFoundError, 404),
    "a model of another kind": ({"model": "embed"}, openai.NotFoundError, anthropic.NotFoundError, 404),
    "too much": (
        {"text": "x" * 70_000},
        openai.APIStatusError,
        anthropic.ContentTooLargeError,
        413,
    ),
    "no money": (
        {"key": "canary-caller-poor"},
        openai.RateLimitError,
        anthropic.PaymentRequiredError,
        402,
    ),
    "a mistake, says the provider": (
        {"model": "picky"},
        openai.BadRequestError,
        anthropic.BadRequestError,
        400,
    ),
    "the gateway's own key is refused": (
        {"model": "locked"},
        openai.InternalServerError,
        anthropic.InternalServerError,
        502,
    ),
    "every backend is busy": (
        {"model": "limited"},
        openai.InternalServerError,
        anthropic.ServiceUnavailableError,
        503,
    ),
    "nobody answers": (
        {"model": "silent"},
        openai.InternalServerError,
        anthropic.GatewayTimeoutError,
        504,
    ),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("what", FAULTS)
def test_each_sdk_raises_the_class_it_has_for_the_failure(there: Served, what: str, stream: bool) -> None:
    """Before an answer began: by its status, as if the vendor itself had refused."""
    asked, of_openai, of_anthropic, code = FAULTS[what]
    for sdk in SDKS:
        given: dict[str, Any] = {"model": "east", **asked}
        error = fault(lambda given=given, sdk=sdk: (hear if stream else ask)(there, sdk, **given))
        if sdk == "gemini":
            kind, status = GOOGLES[code]
            assert (type(error), error.code, error.status) == (kind, code, status), sdk
        else:
            assert isinstance(error, of_anthropic if sdk == "anthropic" else of_openai), (sdk, error)
            assert error.status_code == (429 if what == "no money" and sdk != "anthropic" else code)
        assert "canary" not in str(error)


def test_exhaustion_says_so_and_when_to_come_back(there: Served) -> None:
    """For whoever has a chain of gateways of its own."""
    error = fault(lambda: ask(there, "openai", "limited"))
    assert error.code == "AllPoolsExhausted"
    assert 1 <= int(error.response.headers["retry-after"]) <= 40
    error = fault(lambda: ask(there, "gemini", "limited"))
    assert {one["@type"].rpartition(".")[2] for one in error.details["error"]["details"]} >= {
        "ErrorInfo",
        "RetryInfo",
    }


def test_a_wish_that_cannot_be_carried_over_is_a_clear_mistake(there: Served) -> None:
    """Named, before anything is sent."""
    error = fault(lambda: ask(there, "openai", "rome", n=2))
    assert (type(error), error.param) == (openai.BadRequestError, "n")
    error = fault(lambda: ask(there, "anthropic", "east", extra_body={"top_k": 5}))
    assert isinstance(error, anthropic.BadRequestError) and "top_k" in str(error)
    config = types.GenerateContentConfig(top_k=5)
    error = fault(lambda: ask(there, "gemini", "east", config=config))
    assert (type(error), error.code) == (errors.ClientError, 400)
    assert "generationConfig.topK" in error.message


@pytest.mark.parametrize("model", ["broken", "cut"])
@pytest.mark.parametrize(
    ("sdk", "kind"),
    [
        ("openai", openai.APIError),
        ("responses", openai.APIError),
        ("anthropic", anthropic.APIStatusError),
        ("gemini", errors.ServerError),
    ],
)
def test_a_stream_that_breaks_raises(there: Served, sdk: str, kind: type[Exception], model: str) -> None:
    """After what was heard; nobody takes the half for the whole."""
    heard: list[str] = []

    def listen() -> None:
        heard.extend(piece for piece in _pieces(there, sdk, model, "hi nonce:abc", KEY) if piece)

    error = fault(listen)
    assert isinstance(error, kind)
    assert heard
    if sdk == "anthropic":
        assert error.status_code == 200


def test_an_unreachable_backend_is_no_news_of_its_address(there: Served) -> None:
    """The caller hears that it failed, not where."""
    error = fault(lambda: ask(there, "openai", "gone"))
    assert error.status_code in (502, 503)
    assert "127.0.0.1" not in str(error.response.text)


def test_a_caller_that_gives_up_is_told_so_by_its_own_sdk(there: Served) -> None:
    """A client's time-out is its own class, whatever the gateway does."""
    with of_openai(there.url, KEY, timeout=0.1) as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(model="silent", messages=[{"role": "user", "content": "x"}])


def test_a_stop_ends_the_process_and_no_secret_was_written(tmp_path: Path) -> None:
    """SIGTERM: exit code 0; the log, the store and its companions hold no key."""
    with served(tmp_path) as there:
        assert ask(there, "anthropic", "tokyo")
    assert there.process.returncode == 0
    assert there.events()[-1]["event"] == "stopped"
    for file in tmp_path.iterdir():
        if file.name != "gateway.yaml":
            assert b"canary" not in file.read_bytes(), file
