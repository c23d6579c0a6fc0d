"""What lies between nothing and every endpoint proven: bench.ready's parts."""
