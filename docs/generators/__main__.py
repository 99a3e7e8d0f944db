"""`python docs/generators` writes what follows from the code, pages and tables; a test fails while one of them is old.

With --check it writes nothing and only says which are.
"""

from __future__ import annotations

import sys

from generated_pages import ROOT, generated_pages


def main(arguments: list[str]) -> int:
    stale = {
        path: text
        for path, text in generated_pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    }
    for path, text in stale.items():
        if "--check" in arguments:
            print(f"{path.relative_to(ROOT)} is old: python docs/generators")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{path.relative_to(ROOT)} written")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
