"""Where servers run: as a process, in a container, at an address; their ports, and whose turn it is to change them."""
