"""Where a caller's picture is: inside the request, or at an address that the provider fetches."""

from __future__ import annotations

from refgate.dialects.canonical import Malformed

__all__ = ["data_url", "show_url"]


def data_url(url: str, field: str) -> tuple[str | None, str | None, str | None]:
    """Media type, base64 data and address: the first two for a `data:` URL, else the last."""
    if url[:5].lower() != "data:":
        return None, None, url
    head, comma, data = url[5:].partition(",")
    media_type, *options = head.split(";")
    if not comma or "base64" not in options or not media_type or len(options) != 1:
        raise Malformed(field, "a data: URL must be data:<media type>;base64,<data>")
    return media_type, data, None


def show_url(media_type: str | None, data: str | None, url: str | None) -> str:
    """The other way round."""
    return url if url is not None else f"data:{media_type};base64,{data}"
