"""Fair sharing among users: no one user can take a limited resource from all others (ADR 0042)."""
