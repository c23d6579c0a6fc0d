"""Endpoints and payloads -> load -> one record per request."""
