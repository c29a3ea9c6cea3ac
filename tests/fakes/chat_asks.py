"""One chat in OpenAI's protocol, met by acts: what the tests of acts on chats ask with."""

from __future__ import annotations

from typing import Any

from tests.fakes.chat_stage import PATHS, ChatStage, Heard, chat_body, with_chat

PATH = PATHS["openai"]
EVENTS = 8  # role, five words, finish, [DONE]
PLAN = {"words": 4, "first": "100ms", "between": "10ms", "prompt": 10}


def ask(
    *acts: Any, stream: bool = True, plan: Any = None, timeout_us: int = 3_600_000_000, **more: Any
) -> tuple[Heard, ChatStage]:
    """One chat met by these acts."""

    async def main(stage: ChatStage) -> tuple[Heard, ChatStage]:
        body = chat_body(stream=stream, **more)
        return await stage.listen(PATH, body, timeout_us=timeout_us), stage

    acts = tuple(act if "do" in act else {"do": act} for act in acts)
    return with_chat(main, acts=acts, plan=PLAN | (plan or {}))


def words(heard: Heard) -> list[str]:
    said = [chunk for chunk in heard.data if isinstance(chunk, dict) and chunk.get("choices")]
    return [text for chunk in said if (text := chunk["choices"][0].get("delta", {}).get("content"))]
