"""Worker processes of `commontrace serve` on one port, and their supervisor (ADR 0021)."""
