"""The reference gateway: task APIs proxied, billed by reserve and finalize, nothing lost, nothing twice."""

from refgate.app import create_app
from refgate.config import Settings, load_settings
from refgate.config_file import ConfigError
from refgate.ports import Ports

__all__ = ["ConfigError", "Ports", "Settings", "create_app", "load_settings"]
