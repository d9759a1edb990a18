"""Commands, by group."""
