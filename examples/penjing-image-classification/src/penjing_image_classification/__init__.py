"""Small colour or grey images: which of a few things is on them."""

DOMAIN = "image-classification"
"""The domain's name."""
