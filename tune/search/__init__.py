"""The highest rate that keeps the objectives, of every endpoint."""
