"""Figures -> what is equal, what is better, what keeps its objectives."""
