"""Benchmarks that print ratios against a floor or a peer measured in the same run. Not part of the tests."""
