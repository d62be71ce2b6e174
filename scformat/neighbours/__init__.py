"""Neighbour tables made: from graphs over the cells of a store, from those of its sources, from lists; and stored."""

from scformat.neighbours.lists import NeighbourLists
from scformat.neighbours.publish import FEATURE, add_neighbours
from scformat.neighbours.sources import neighbours_from_sources

__all__ = ["FEATURE", "NeighbourLists", "add_neighbours", "neighbours_from_sources"]
