"""Changes to servers that run: newer versions, one model or version, other settings for a while."""
