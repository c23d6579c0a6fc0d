"""Recommendation -> overlay of k8s/: what was measured becomes what is deployed, or it says why it cannot."""
