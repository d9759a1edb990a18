"""Tags and aliases."""
