"""Triton and TF Serving: how each is started, controlled and asked how it is."""
