"""OpenAI chat completions, as callers and as providers speak it."""
