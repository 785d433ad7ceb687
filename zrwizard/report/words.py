"""Numbers in words, as the reports and the unattended front end write them."""

from __future__ import annotations


def size(count: float) -> str:
    """Return bytes for people: 1024-based, one decimal, `1.5 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} PiB"


def duration(seconds: float) -> str:
    """Return seconds for people: `42 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def plural(count: int, one: str, many: str) -> str:
    """Return the number with its word."""
    return f"{count} {one if count == 1 else many}"
