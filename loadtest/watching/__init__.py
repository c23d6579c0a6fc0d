"""What the servers did and used while they were under load: counters, processor, memory, GPUs."""
