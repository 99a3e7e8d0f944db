"""Finds plugins, keeps the broken ones from harming the others, and names the guilty."""

from __future__ import annotations

from penjing.host.discovery import domain_entries
from penjing.host.plugin_host import Contribution, PluginHost
from penjing.host.source import PluginSource, PluginStatus, Problem

__all__ = ["Contribution", "PluginHost", "PluginSource", "PluginStatus", "Problem", "domain_entries"]
