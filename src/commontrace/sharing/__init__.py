"""Fair sharing: limits that no one user can take from the others."""
