"""Small networks as people build them for devices, by name, and their data."""

from __future__ import annotations

import small_image_networks  # noqa: F401
import small_other_networks  # noqa: F401
import small_sequence_networks  # noqa: F401  each adds its own to NETWORKS
from small_network_parts import NETWORKS, data_for

__all__ = ["NETWORKS", "data_for"]
