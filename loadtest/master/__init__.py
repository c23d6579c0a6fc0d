"""Leads a run: what comes next, what the load processes are told, what came of it."""
