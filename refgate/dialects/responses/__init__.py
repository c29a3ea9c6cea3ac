"""OpenAI Responses (not in the background), as callers speak it; providers where bytes pass through."""
