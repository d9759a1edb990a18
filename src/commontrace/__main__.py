"""Runs the command line as `python -m commontrace`."""

from commontrace.cli import main

main()
