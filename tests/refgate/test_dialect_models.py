"""The list of models, read by the vendors' SDKs."""

from __future__ import annotations

from collections.abc import Callable

import anthropic
import httpx2
import openai

from refgate.dialects.canonical import Protocol
from refgate.dialects.models import write_models
from tests.refgate.dialect_kit import google


def handler(protocol: Protocol) -> Callable[[httpx2.Request], httpx2.Response]:
    body = write_models(protocol, ["small", "große"], created_s=1_795_000_000)

    def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=body)

    return handle


def transport(protocol: Protocol) -> httpx2.Client:
    return httpx2.Client(transport=httpx2.MockTransport(handler(protocol)))


def test_each_sdk_lists_the_models() -> None:
    """Names in the order they were given, one page."""
    with openai.OpenAI(
        api_key="k", base_url="http://h/v1", http_client=transport(Protocol.OPENAI_CHAT)
    ) as first:
        assert [model.id for model in first.models.list()] == ["small", "große"]
    with anthropic.Anthropic(
        api_key="k", base_url="http://h", http_client=transport(Protocol.ANTHROPIC)
    ) as second:
        assert [model.id for model in second.models.list()] == ["small", "große"]
    listed = [model.name for model in google(handler(Protocol.GEMINI)).models.list()]
    assert listed == ["models/small", "models/große"]
    assert b'"data":[]' in write_models(Protocol.ANTHROPIC, [], created_s=0)
