"""Namespaces: names, visibility, roles, and what a caller may reach."""
