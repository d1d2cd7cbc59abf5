"""Faults of the network and of processes, under load: minutes, not seconds. `make chaos` runs them."""
