"""Where a call goes next: pure policies, each told what time it is and given its random stream.

`cooldown`, `breaker`, `rate`, `backoff` and `choose` know nothing of each other. `health` joins the first
three for one backend, `plan` decides over pools of backends for one call. Nothing here reads a clock,
sends a request or reads configuration.
"""

__all__: list[str] = []
