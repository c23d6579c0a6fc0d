"""Servers that do nothing, or hold every answer for a known time: what a load generator is measured against."""
