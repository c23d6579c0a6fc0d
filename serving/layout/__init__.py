"""Artifacts -> model repository: which exports are served, and how each engine is told."""
