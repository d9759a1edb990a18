"""Namespaces: who may reach them, changes of them and of their members."""
