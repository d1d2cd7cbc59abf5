"""Load on a running service; ``make load`` starts one and runs them all."""
