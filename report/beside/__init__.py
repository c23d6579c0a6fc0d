"""What stands beside the verdict, so that no figure misleads."""
