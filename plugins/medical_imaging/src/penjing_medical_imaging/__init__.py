"""Medical imaging: small classifiers of medical images, with a heat map and abstention. Not for clinical use."""

DOMAIN = "medical-imaging"
"""The domain's name."""

NOT_CLINICAL = (
    "Not for clinical use: for research and teaching. No output may decide on a diagnosis, a treatment or a person."
)
"""Stands in help, bundle, report and beside every prediction."""
