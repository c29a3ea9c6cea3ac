"""The request log and the debug log: what callers asked and how it went, for people to read later."""
