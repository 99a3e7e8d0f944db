"""Traffic forecasting: the next hour of every sensor of a road network, with its uncertainty."""

DOMAIN = "traffic-forecasting"
"""The domain's name."""
