"""One readable story per route kind: submit, query, result, passthrough; and what the sweep asks."""
