"""The load generator is measured before it measures: what it can do at most, and what it adds to a known latency."""
