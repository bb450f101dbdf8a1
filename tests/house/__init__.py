"""Checks of the repository itself: tidiness, packaging and the files for operating it."""
