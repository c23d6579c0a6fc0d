"""Trained model -> artifacts that are proven to agree with it, and the manifest that says so."""
