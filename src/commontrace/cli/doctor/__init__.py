"""`commontrace doctor`: every check, as far as the answers before allow."""
