"""What commands share: calls, environment, input, signals."""
