"""What dies or hangs is noticed, told, and started again a few times at most."""
