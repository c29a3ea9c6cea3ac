"""Anthropic messages, as callers and as providers speak it."""
