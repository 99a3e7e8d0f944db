"""What code a trained model depends on: a hash of the source files behind a domain's functions."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path


def code_hash(functions: Iterable[str | None]) -> str:
    """SHA-256 of the source files in which functions stand, and of what these import from the same package.

    Files of other packages are left out: libraries have versions, and data has a hash of its own. What a module imports
    under a name that it makes at run time is not found. A module without a source file counts by its name.

    Args:
        functions: Import strings "package.module:function"; None is passed over.
    """
    left = [name.split(":")[0] for name in functions if name]
    sources: dict[str, bytes] = {}
    while left:
        module = left.pop()
        if module in sources:
            continue
        path = _source(module)
        sources[module] = b"" if path is None else path.read_bytes()
        # A package's __init__ runs before its modules.
        left.extend(module.rsplit(".", count)[0] for count in range(1, module.count(".") + 1))
        if path is not None:
            left.extend(_imported(sources[module], module, path.name == "__init__.py"))
    digest = hashlib.sha256()
    for module in sorted(sources):
        digest.update(f"{module} {len(sources[module])}\n".encode())
        digest.update(sources[module])
    return digest.hexdigest()


def _source(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    path = Path(spec.origin) if spec is not None and spec.origin else None
    return path if path is not None and path.suffix == ".py" and path.is_file() else None


def _imported(source: bytes, module: str, is_package: bool) -> Iterator[str]:
    """Modules of the same top package that a source names in its imports, at whatever depth they stand."""
    top = module.split(".")[0]
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")[: module.count(".") + is_package + 1 - node.level]
                base = ".".join([*above, *filter(None, [base])])
            # "from package import module" names a module or something in it; both are tried.
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] == top and _source(name) is not None:
                yield name
