"""The long sweeps: `python -m tests.soak`, or `python -m tests.soak short` as CI runs it."""
