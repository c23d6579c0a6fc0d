"""Whether a newer run is slower than an older one."""
