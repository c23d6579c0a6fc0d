"""What lies between a framework's own call and an answer over the wire: bench.backends' parts."""
