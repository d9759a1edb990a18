"""Event log: appending, reading, its tail."""
