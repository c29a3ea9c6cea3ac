"""The body of an answer that came packed, unpacked a piece at a time, whatever it unpacks to.

A backend that packs although it was asked not to is understood. None may make a small body cost much: no
more than one piece is unpacked before whoever reads has seen it and may stop, others have their turn between
pieces, and a body packed more than once, which would multiply, is not read at all.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator

__all__ = ["NotUnpacked", "packing", "unpacked"]

_PIECE = 64 * 1024
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class NotUnpacked(Exception):
    """This body is not packed as it says, ends early, or is packed in a way that is not known here."""


def packing(values: list[str]) -> str | None:
    """How a body with these `content-encoding` headers is packed; None where it is not.

    Raises NotUnpacked where it cannot be unpacked here: it would reach a caller as garbage.
    """
    named = [one for one in (part.strip().lower() for part in ",".join(values).split(",")) if one]
    packed = [one for one in named if one != "identity"]
    if len(packed) > 1 or any(one not in _WINDOWS for one in packed):
        raise NotUnpacked
    return packed[0] if packed else None


async def unpacked(pieces: AsyncIterator[bytes], how: str) -> AsyncGenerator[bytes, None]:
    """A piece at a time. Raises NotUnpacked."""
    inflater, fresh = zlib.decompressobj(_WINDOWS[how]), True
    try:
        async for data in pieces:
            if fresh and how == "deflate" and data and not _has_zlib_header(data):
                inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            fresh = fresh and not data
            more = bool(data)
            while more:
                try:
                    piece = inflater.decompress(data, _PIECE)
                except zlib.error:
                    raise NotUnpacked from None
                data = inflater.unconsumed_tail
                # A full piece may have left some of what was taken in behind it.
                more = not inflater.eof and (bool(data) or len(piece) == _PIECE)
                if piece:
                    yield piece
                if more:
                    await asyncio.sleep(0)
        if not fresh and not inflater.eof:
            raise NotUnpacked
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def _has_zlib_header(data: bytes) -> bool:
    """Some servers send `deflate` without the header that belongs to it."""
    return data[0] & 0x0F == 8
