"""The servers: what starts them, what stands in for them, and the backends that run inside them."""
