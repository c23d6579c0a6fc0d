"""Several servers of one kind on this machine, as a cluster would run them: replicas, and the proxy before them."""
