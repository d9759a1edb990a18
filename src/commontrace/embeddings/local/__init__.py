"""Local models: sentence encoders on this machine."""
