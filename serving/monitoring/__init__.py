"""What Prometheus is given: recordings, and alerts on the burn of error budgets."""
