"""Where runs are kept on the operator's machine: `<state dir>/runs/<token>/`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

PRIVATE_DIR = 0o700
PRIVATE_FILE = 0o600


def default_state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return `$XDG_STATE_HOME/zrwizard`, or `~/.local/state/zrwizard` (XDG base directories)."""
    base = environ.get("XDG_STATE_HOME", "")
    root = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
    return root / "zrwizard"


def make_private(path: Path) -> Path:
    """Make `path` and what is missing above it, mode 0700; return it. Raises OSError."""
    missing = [part for part in (path, *path.parents) if not part.exists()]
    for part in reversed(missing):
        part.mkdir(mode=PRIVATE_DIR, exist_ok=True)
    if path.stat().st_uid == os.getuid():
        path.chmod(PRIVATE_DIR)
    return path


def runs_dir(state_dir: Path) -> Path:
    """Return the directory that holds one directory for each run."""
    return state_dir / "runs"


def run_dir(state_dir: Path, token: str) -> Path:
    """Return the directory of run `token`."""
    return runs_dir(state_dir) / token


def locks_dir(state_dir: Path) -> Path:
    """Return the directory that notes who uses which line."""
    return state_dir / "locks"


def new_token() -> str:
    """Return a fresh name for a run: 12 hex digits, fit for a path and a pool's comment."""
    return secrets.token_hex(6)


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path`, mode 0600, replacing what was there at once. Raises OSError."""
    make_private(path.parent)
    new = path.with_name(path.name + ".new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    new.replace(path)
