"""The only mapping between messages and the objects behind them, a noun a file."""
