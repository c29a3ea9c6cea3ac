"""The reference gateway: task APIs proxied, billed by reserve and finalize, nothing lost, nothing twice."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refgate.app import create_app
    from refgate.config.file import ConfigError
    from refgate.config.settings import Settings, load_settings
    from refgate.ports import Ports

__all__ = ["ConfigError", "Ports", "Settings", "create_app", "load_settings"]

_HOMES = {
    "ConfigError": "refgate.config.file",
    "Ports": "refgate.ports",
    "Settings": "refgate.config.settings",
    "create_app": "refgate.app",
    "load_settings": "refgate.config.settings",
}


def __getattr__(name: str) -> Any:
    # A whole web stack stands behind these names: whoever asks the command for its help need not pay for it.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
