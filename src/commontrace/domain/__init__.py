"""Domain: values, errors and pure rules that every layer above shares. No I/O."""
