"""Doctor: checks of an installation, from facts to findings with advice."""
