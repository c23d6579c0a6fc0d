"""One load process: carries out orders, sends on time, records every request."""
