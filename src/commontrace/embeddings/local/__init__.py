"""Local models: BERT sentence encoders on this machine's processor."""
