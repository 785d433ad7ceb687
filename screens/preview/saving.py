"""Saving a tree of changes to a new file on this computer; the ending says in which form."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from pathlib import Path

from zrwizard.preview import export
from zrwizard.preview.desk import Compare
from zrwizard.preview.tree import Tree

_FORMS = {
    ".json": export.to_json_lines,
    ".jsonl": export.to_json_lines,
    ".csv": export.to_csv,
    ".md": export.to_markdown,
}
_BREATH = 200
_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")


class NotSaved(Exception):
    """Nothing was saved; the text is a sentence."""


def suggested(request: Compare) -> str:
    """Return a name for the file, in the present directory."""
    name = f"{request.root}-{request.older}-{request.newer or 'now'}"
    return f"preview-{_PLAIN.sub('-', name)[:120]}.json"


def save_steps(tree: Tree, name: str) -> Generator[float, None, Path]:
    """Write the tree to a new file, which only its owner may read; return its path.

    A breath is taken every now and then: how far it is (0 to 1) is yielded, and the tree must not
    change meanwhile. One that is not run to its end leaves no file. Raises `NotSaved`.
    """
    path = Path(os.path.expanduser(name)).absolute()
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        raise NotSaved("The ending says the form: .json (JSON lines), .csv or .md (Markdown).")
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise NotSaved(f"{path} is there already; nothing is overwritten.") from None
    except OSError as error:
        raise NotSaved(f"Could not write {path}: {error.strerror}.") from None
    whole = False
    try:
        with open(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            for number, line in enumerate(form(tree)):
                stream.write(line)
                if number % _BREATH == 0:
                    yield min(0.99, number / max(1, tree.changes))
        whole = True
    except OSError as error:
        raise NotSaved(f"Could not write {path}: {error.strerror}.") from None
    finally:
        if not whole:
            path.unlink(missing_ok=True)
    return path
