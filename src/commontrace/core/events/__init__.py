"""Events: follower, watch, notifier."""
