"""What a run will send and when: decided before the first request."""
