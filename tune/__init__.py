"""Loops over the stages: the highest rate under the objectives, configurations, scaling, regressions."""
