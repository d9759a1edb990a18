"""Watching events: follower, watch, notifier, events of status changes."""
