"""What the stages agree on: border files, errors, comparison, statistics and wire codecs."""
