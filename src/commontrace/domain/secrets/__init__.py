"""Secret scan: rules that run in linear time over texts that are to be stored (ADR 0030)."""
