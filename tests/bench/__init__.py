"""Benchmarks side by side with the official client in one run: `make bench`. Ratios first, medians with their spread, the machine named."""
