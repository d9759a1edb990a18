"""What a running server tells of itself: metrics and traces. Nothing here decides anything."""
