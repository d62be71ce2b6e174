"""Batches of cells as numpy arrays: what a window of draws needs is read once, batches are made of it by threads."""
