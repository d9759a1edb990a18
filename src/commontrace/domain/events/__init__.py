"""Events: their types, and the order in which they can be told."""
