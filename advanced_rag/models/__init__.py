"""The domain in frozen dataclasses; no I/O."""
