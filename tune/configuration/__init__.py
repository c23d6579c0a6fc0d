"""Which configuration of a model keeps the objectives at the highest rate."""
