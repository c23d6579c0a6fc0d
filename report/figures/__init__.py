"""What the files of a run say: the figures of its stages, and whether they are to be trusted."""
