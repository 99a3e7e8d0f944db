"""The core's own contributions, through the hooks that every plugin uses."""

from __future__ import annotations

from collections.abc import Iterable

from penjing.contract import Exporter, HealthCheck, Target, Technique
from penjing.hookspecs import hookimpl


@hookimpl
def penjing_techniques() -> Iterable[Technique]:
    from penjing.compression.catalogue import TECHNIQUES

    return TECHNIQUES


@hookimpl
def penjing_exporters() -> Iterable[Exporter]:
    yield Exporter(
        name="c-array",
        summary="C source and header with the model as a constant array, for microcontrollers.",
        export="penjing.export.c_array:write_c_array",
    )


@hookimpl
def penjing_targets() -> Iterable[Target]:
    yield Target(
        name="cortex-m4",
        summary="A common Cortex-M4 board: 1 MiB of flash, 256 KiB of RAM.",
        flash_bytes=1_048_576,
        ram_bytes=262_144,
    )
    yield Target(
        name="cortex-m0",
        summary="A small Cortex-M0+ board: 256 KiB of flash, 32 KiB of RAM.",
        flash_bytes=262_144,
        ram_bytes=32_768,
    )


@hookimpl
def penjing_health_checks() -> Iterable[HealthCheck]:
    yield HealthCheck(name="cache", check="penjing.health:check_cache")
    yield HealthCheck(name="compress", check="penjing.health:check_compress")
    yield HealthCheck(name="microcontroller", check="penjing.health:check_microcontroller")
    yield HealthCheck(name="bytecode", check="penjing.health:check_bytecode")
    yield HealthCheck(name="configuration", check="penjing.health:check_configuration")
    yield HealthCheck(name="installer", check="penjing.health:check_installer")
