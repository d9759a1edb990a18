"""Checks of `commontrace doctor`."""
