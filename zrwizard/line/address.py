"""Console URLs: `telnet://HOST:PORT`, `ssh://USER@HOST:PORT`, `serial:///dev/…`, `local:`."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

KINDS = ("telnet", "ssh", "serial", "local")
EXAMPLES = (
    "telnet://127.0.0.1:4474",
    "ssh://root@192.0.2.10:22",
    "serial:///dev/ttyU0?speed=115200",
    "local:",
)
_OPTIONS = {"telnet": {"raw"}, "ssh": set[str](), "serial": {"speed"}, "local": {"shell"}}


class LineError(Exception):
    """A console URL that cannot be used, or a line that cannot be opened.

    `taken` is true when somebody else holds the line.
    """

    def __init__(self, what: str, now: str = "", *, taken: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.now = now
        self.taken = taken


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed console URL. `port` is 0 and `host` empty where the kind has none."""

    kind: str
    host: str = ""
    port: int = 0
    user: str = ""
    path: str = ""
    options: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        match self.kind:
            case "local":
                return "local:"
            case "serial":
                return f"serial://{self.path}"
            case _:
                user = f"{self.user}@" if self.user else ""
                host = f"[{self.host}]" if ":" in self.host else self.host
                return f"{self.kind}://{user}{host}:{self.port}"


def parse(url: str) -> Address:
    """Return the parts of a console URL. Raises `LineError` that says what is wrong with it."""
    known = f"Use one of: {', '.join(EXAMPLES)}."
    kind, colon, _ = url.partition(":")
    if not colon or kind not in KINDS:
        raise LineError(f"{url!r} is not a console address.", known)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise LineError(f"{url!r} is not a console address: {error}.", known) from None
    options = dict(parse_qsl(parts.query))
    for name in options:
        if name not in _OPTIONS[kind]:
            raise LineError(f"{url!r}: a {kind} console has no option {name!r}.", known)
    if parts.password is not None:
        raise LineError(
            "A console address never holds a password.",
            "Give it with --secret console=file:PATH instead.",
        )
    if kind == "telnet" and not port:
        raise LineError(f"{url!r} has no port.", "Write telnet://HOST:PORT.")
    if kind in {"telnet", "ssh"} and not parts.hostname:
        raise LineError(f"{url!r} has no host.", known)
    if kind == "serial" and not parts.path.startswith("/"):
        raise LineError(f"{url!r} names no device.", "Write serial:///dev/ttyU0?speed=115200.")
    default = 22 if kind == "ssh" else 0
    return Address(
        kind, parts.hostname or "", port or default, parts.username or "", parts.path, options
    )
