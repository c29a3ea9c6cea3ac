"""Misbehaviour: what an act is, when and whom it meets, and how it is played.

`vocabulary` names every act; `answers`, `tasks` and `chats` say what each is. `script` says when and whom
one meets, `player` counts and draws, `staging` and `stagehand` play it for a provider.
"""
