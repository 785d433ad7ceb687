"""Small commands about the machine itself: id(1), date(1), ls(1), reboot(8), nc(1)."""

from __future__ import annotations

from datetime import UTC, datetime

from . import sh, text
from .errors import ParseError


def user_id() -> str:
    """Command: the numeric user id."""
    return sh.command("id", "-u")


def parse_user_id(output: str) -> int:
    """The user id; 0 is root. Raises ParseError."""
    return text.whole("id", "the user id", output.strip())


def now() -> str:
    """Command: the target's clock in UTC."""
    return sh.command("date", "-u", "+%FT%TZ")


def parse_now(output: str) -> datetime:
    """The target's clock as an aware datetime. Raises ParseError."""
    try:
        return datetime.strptime(output.strip(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise ParseError("date", "not a time such as 2026-11-21T20:49:09Z", output) from None


def names_in(directory: str) -> str:
    """Command: the names in a directory, one a line."""
    return sh.command("ls", directory)


def parse_names(output: str) -> frozenset[str]:
    """The names that ls(1) printed one a line."""
    return frozenset(text.lines(output))


def port_answers(host: str, port: int, seconds: int = 5) -> str:
    """Command: succeeds if `host` accepts a TCP connection on `port` within `seconds` (nc(1))."""
    return sh.command("nc", "-z", "-w", str(seconds), host, str(port))


def make_directory(path: str, mode: str | None = None) -> str:
    """Command: with a mode, create `path` alone (fails if it exists); without, as `mkdir -p`."""
    options = ["-p"] if mode is None else ["-m", mode]
    return sh.join(["mkdir", *options, path])


def copy_file(source: str, target: str) -> str:
    """Command: copy one file (cp(1))."""
    return sh.command("cp", source, target)


def reboot() -> str:
    """Command: restart the machine (shutdown(8) under the hood of reboot(8))."""
    return sh.command("reboot")


def power_off() -> str:
    """Command: stop the machine and switch it off."""
    return sh.command("poweroff")
