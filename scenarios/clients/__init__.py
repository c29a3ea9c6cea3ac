"""The clients of a run: when they come, how they word what they ask, and what they make of the answers."""
