"""How callers and providers speak: their wire protocols, by way of one canonical request and answer.

Pure: bytes and values in, bytes and values out. Nothing here sends, waits, or knows a configuration; the
time, where a date must be read, is given. Start with `canonical` (what is said), then `registry` (who
speaks what); each protocol has a folder of its own.
"""
