"""Benchmarks beside other systems, each of them in an environment of its own."""
