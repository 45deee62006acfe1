"""Bring hosts into being, or reach them. Each testbed hands out the same Host objects."""
