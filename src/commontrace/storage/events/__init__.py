"""Event log: append, read, follow its tail."""
