"""Other servers in Python with the same model behind them, and what starts, asks and stops them: README.md."""
