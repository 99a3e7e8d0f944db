"""Settings of the command line: defaults, the user's file, the project's file, the environment, and flags above all.

```toml
# penjing.toml, in the project's folder or above it
seed = 7
runs = "experiments"

[domains.fraud-detection]
data = "data/transactions"
budget = "flash=8KB,drop=0.01"
```
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penjing.errors import UsageError, did_you_mean
from penjing.toml_lines import key_lines

PROJECT_FILE = "penjing.toml"
USER_FILE = "config.toml"
DOMAINS = "domains"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One thing that can be set."""

    kind: Callable[[Any], Any]
    """Turns what a file or the environment says into the value; raises ValueError."""
    meaning: str
    variable: str = ""
    """Environment variable; of a domain's setting it is made of both names."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """A setting's value, and where it came from."""

    value: Any
    origin: str
    """'default', 'user file PATH, line 3', 'project file PATH, line 3', 'environment PENJING_SEED'."""


def _path(given: Any) -> str:
    if not isinstance(given, str) or not given:
        raise ValueError("a path")
    return str(Path(given).expanduser())


def _text(given: Any) -> str:
    if not isinstance(given, str) or not given:
        raise ValueError("a text")
    return given


def _seed(given: Any) -> int:
    if isinstance(given, str) and given.strip().isdecimal():
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise ValueError("a whole number from 0 up")
    return given


def _truth(given: Any) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if isinstance(given, str) and given.lower() in words:
        return words[given.lower()]
    if not isinstance(given, bool):
        raise ValueError("true or false")
    return given


def _names(given: Any) -> list[str]:
    if isinstance(given, str):
        given = [name.strip() for name in given.split(",") if name.strip()]
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ValueError("a list of names")
    return given


GENERAL: dict[str, Setting] = {
    "cache": Setting(kind=_path, variable="PENJING_CACHE", meaning="folder of trained teachers and downloads"),
    "disable_plugins": Setting(kind=_names, variable="PENJING_DISABLE_PLUGINS", meaning="plugins that are not loaded"),
    "quiet": Setting(kind=_truth, variable="PENJING_QUIET", meaning="no progress"),
    "runs": Setting(kind=_path, variable="PENJING_RUNS", meaning="folder of the run folders"),
    "seed": Setting(kind=_seed, variable="PENJING_SEED", meaning="decides everything random"),
}
OF_DOMAIN: dict[str, Setting] = {
    "budget": Setting(kind=_text, meaning="limits: flash=32KB,drop=0.01"),
    "data": Setting(kind=_path, meaning="file or folder"),
    "recipe": Setting(kind=_text, meaning="a recipe of the domain, or a TOML file"),
}
DEFAULTS: dict[str, Any] = {"disable_plugins": [], "quiet": False, "runs": "runs", "seed": 0}


@dataclass(frozen=True)
class Configuration:
    """All settings, general ones by name, those of domains as "domains.NAME.data"."""

    values: Mapping[str, Value]

    def __getitem__(self, name: str) -> Any:
        found = self.values.get(name)
        return None if found is None else found.value

    def domain(self, name: str) -> dict[str, Any]:
        """What is set for a domain, by setting."""
        found = {key: self[f"{DOMAINS}.{name}.{key}"] for key in OF_DOMAIN}
        return {key: value for key, value in found.items() if value is not None}

    @property
    def domains(self) -> list[str]:
        """The domains that anything is set for."""
        return sorted({name.split(".")[1] for name in self.values if name.startswith(f"{DOMAINS}.")})


def read_configuration(
    folder: Path | None = None, environment: Mapping[str, str] | None = None, domains: tuple[str, ...] = ()
) -> Configuration:
    """The settings that hold in a folder.

    Args:
        folder: Where to look for penjing.toml, upwards; None takes the current folder.
        environment: None takes the process's.
        domains: Domains whose variables (PENJING_FRAUD_DETECTION_DATA) are asked for.

    Raises:
        UsageError: A file is no TOML, or a setting is unknown or of the wrong kind; names file and line.
    """
    environment = os.environ if environment is None else environment
    values = {name: Value(value=value, origin="default") for name, value in DEFAULTS.items()}
    user = user_file(environment)
    if user is not None and user.is_file():
        values |= _read(user, "user file")
    project = project_file(folder or Path.cwd())
    if project is not None:
        values |= _read(project, "project file")
    for name, setting in GENERAL.items():
        given = environment.get(setting.variable)
        if given:
            values[name] = _from_environment(setting, setting.variable, given)
    named = {name.split(".")[1] for name in values if name.startswith(f"{DOMAINS}.")}
    for domain in sorted({*named, *domains}):
        for key, setting in OF_DOMAIN.items():
            variable = domain_variable(domain, key)
            if environment.get(variable):
                values[f"{DOMAINS}.{domain}.{key}"] = _from_environment(setting, variable, environment[variable])
    return Configuration(dict(sorted(values.items())))


def domain_variable(domain: str, key: str) -> str:
    """The environment variable of a domain's setting."""
    return f"PENJING_{domain}_{key}".upper().replace("-", "_")


def user_file(environment: Mapping[str, str]) -> Path | None:
    """The user's own file; PENJING_CONFIG names another."""
    given = environment.get("PENJING_CONFIG")
    if given:
        return Path(given)
    from platformdirs import user_config_path

    return user_config_path("penjing", appauthor=False) / USER_FILE


def project_file(folder: Path) -> Path | None:
    """The nearest penjing.toml, from the folder upwards."""
    for place in (folder, *folder.parents):
        if (place / PROJECT_FILE).is_file():
            return place / PROJECT_FILE
    return None


def _read(path: Path, kind: str) -> dict[str, Value]:
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError("the configuration cannot be read", where=str(path), why=str(error)) from error
    lines = key_lines(text)
    found: dict[str, Value] = {}

    def take(key: tuple[str, ...], given: Any, settings: Mapping[str, Setting]) -> None:
        line = lines.get(key)
        where = f"{path}, line {line}" if line else str(path)
        name = key[-1]
        if name not in settings:
            known = [*settings, DOMAINS] if len(key) == 1 else list(settings)
            raise UsageError(f"unknown setting '{'.'.join(key)}'", where=where, hint=did_you_mean(name, known))
        try:
            value = settings[name].kind(given)
        except ValueError as error:
            raise UsageError(
                f"the setting '{'.'.join(key)}' cannot be {given!r}",
                where=where,
                why=f"it is {error}: {settings[name].meaning}",
            ) from error
        if settings[name].kind is _path:
            # What a file says is meant from where the file lies.
            value = str(path.parent / value)
        elif name == "recipe" and value.endswith(".toml"):
            value = str(path.parent / value)
        found[".".join(key)] = Value(value=value, origin=f"{kind} {where}")

    for name, given in document.items():
        if name != DOMAINS:
            take((name,), given, GENERAL)
            continue
        if not isinstance(given, dict) or not all(isinstance(table, dict) for table in given.values()):
            raise UsageError(
                "'domains' holds a table for each domain", where=str(path), hint="[domains.fraud-detection]"
            )
        for domain, table in given.items():
            for key, value in table.items():
                take((DOMAINS, domain, key), value, OF_DOMAIN)
    return found


def _from_environment(setting: Setting, variable: str, given: str) -> Value:
    try:
        return Value(value=setting.kind(given), origin=f"environment {variable}")
    except ValueError as error:
        raise UsageError(
            f"{variable} cannot be {given!r}", where="environment", why=f"it is {error}: {setting.meaning}"
        ) from error
