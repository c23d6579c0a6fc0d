"""Load generators beside ours: what each is told, how it runs, and how its own figure is read."""
