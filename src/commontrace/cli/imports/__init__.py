"""`commontrace import`: lines, progress and what remains."""
