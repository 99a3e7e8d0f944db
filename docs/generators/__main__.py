"""`python docs/generators` writes the pages that follow from the code; a test fails while one of them is stale."""

from __future__ import annotations

from generated_pages import generated_pages

if __name__ == "__main__":
    for path, text in generated_pages().items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"written: {path}")
