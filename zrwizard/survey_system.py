"""Looking at the installed system of a future backup server: read-only commands in few round trips.

Nothing is written: whether /etc can be is judged by its mount and by test(1).
"""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Callable
from typing import TypeVar

from zrwizard import survey
from zrwizard.console.errors import NoAnswer
from zrwizard.facts import SystemFacts, TextFile
from zrwizard.freebsd import (
    camcontrol,
    crontab,
    dd,
    fstab,
    host,
    loaderconf,
    mount,
    ntp,
    rcconf,
    sh,
    sockstat,
    sshd,
    sysctl,
    sysctlconf,
    text,
    ttys,
)
from zrwizard.freebsd.errors import ParseError
from zrwizard.run.events import Answered, Event, Typed
from zrwizard.shell.api import Result, Shell

SYSTEM_FILES = (
    rcconf.PATH,
    rcconf.LOCAL,
    fstab.PATH,
    loaderconf.PATH,
    ttys.PATH,
    crontab.PATH,
    sysctlconf.PATH,
    sshd.MAIN,
)
MARKS = "/usr/local/etc/zrwizard"
LIMIT = 256 * 1024
RANDOM_SECONDS = 5
_SHOWN = 2000
_SECONDS = 60.0
_MODE = re.compile(r"([0-7]{4,7}) ([0-9]{1,18})", re.ASCII)
_T = TypeVar("_T")
Emit = Callable[[Event], None]

# An encrypted disk looks empty to everything else. A partition is tried as well as its disk.
_SEALED = (
    f"for d in $({sysctl.value('kern.disks')}); do "
    'for p in /dev/"$d" /dev/"$d"[ps][0-9]*; do '
    'geli dump "$p" >/dev/null 2>&1 && printf \'%s\\n\' "${p#/dev/}"; done; done; true'
)
_PROBES = (
    ("hostname", sh.command("hostname")),
    ("openssh", sshd.version()),
    ("hostkey", f"{sh.command('cat', sshd.HOST_KEY + '.pub')} 2>/dev/null"),
    ("listening", sockstat.listening()),
    ("ntp", f"{ntp.running()} >/dev/null"),
    ("random", f"{sh.timeout(RANDOM_SECONDS, dd.random())} 2>/dev/null"),
    # powerd(8) gives up where no driver offers frequencies.
    ("levels", f"{sysctl.value('dev.cpu.0.freq_levels')} 2>/dev/null"),
    ("cam", f"{camcontrol.devices()} 2>/dev/null"),
    ("mounts", mount.mounted()),
    ("writable", sh.command("test", "-w", "/etc")),
    ("marks", f"{host.names_in(MARKS)} 2>/dev/null"),
    ("sealed", _SEALED),
)


def commands() -> tuple[str, ...]:
    """Return what is typed, in order."""
    return _clock(), survey.joined(_PROBES), _files()


def system(shell: Shell, emit: Emit, now: Callable[[], float] = time.time) -> SystemFacts:
    """Return what the installed system is; `now` is the operator's clock, in seconds.

    Raises `survey.SurveyError` where it does not answer in time, `ParseError` where it answers in
    an unknown form, and `ConsoleError` where the console itself fails.
    """
    skew = _skew(shell, emit, now)
    parts = survey.split(_run(shell, survey.joined(_PROBES), emit).text)
    read = survey.split(_run(shell, _files(), emit).text)
    return SystemFacts(
        hostname=_text(parts, "hostname"),
        openssh=_text(parts, "openssh"),
        host_key=_text(parts, "hostkey"),
        listening=sockstat.sshd_ports(_lenient(parts, "listening", sockstat.parse)),
        files=tuple(_file(path, read) for path in SYSTEM_FILES),
        etc_writable=_succeeds(parts, "writable") and not _etc_read_only(parts),
        skew=skew,
        ntp_running=_succeeds(parts, "ntp"),
        seeded=_succeeds(parts, "random"),
        paces=len(_text(parts, "levels").split()) > 1,
        cam=_lenient(parts, "cam", camcontrol.parse_devices),
        marks=_marks(parts),
        sealed=tuple(sorted(_text(parts, "sealed").split())),
    )


# --- asking -----------------------------------------------------------------------------------


def _run(shell: Shell, typed: str, emit: Emit) -> Result:
    emit(Typed("survey", "survey", typed))
    try:
        result = shell.run(typed, timeout=_SECONDS)
    except NoAnswer:
        raise survey.SurveyError(
            f"Looking at the system did not come back within {_SECONDS:.0f} seconds.",
            "Look at its console for errors of its disk, and start again.",
            4,
        ) from None
    shown = result.both
    if len(shown) > _SHOWN:
        shown = f"{shown[:_SHOWN]}\n… {len(shown) - _SHOWN} more characters"
    emit(Answered("survey", "survey", result.status, shown, result.seconds))
    return result


def _clock() -> str:
    return sh.command("date", "-u", "+%s")


def _skew(shell: Shell, emit: Emit, now: Callable[[], float]) -> float:
    """By how many seconds the target's clock is ahead, as of the middle of the question."""
    before = now()
    answer = _run(shell, _clock(), emit).text
    after = now()
    there = text.whole("date", "the time", answer.strip())
    # `date` tells whole seconds; on average it is half a second later.
    return round(there + 0.5 - (before + after) / 2, 1)


def _files() -> str:
    """Each file's mode and size, and its text where it is no larger than LIMIT."""
    rows = [survey.joined(())]
    for path in SYSTEM_FILES:
        word = sh.quote(path)
        rows += [
            f"stat -f '%p %z' {word} 2>/dev/null; m {sh.quote(f'stat:{path}')}",
            f"head -c {LIMIT + 1} {word} 2>/dev/null; m {sh.quote(f'text:{path}')}",
        ]
    return "\n".join(rows)


# --- understanding ----------------------------------------------------------------------------


def _part(parts: dict[str, survey.Part], name: str) -> survey.Part:
    if name not in parts:
        raise ParseError("survey", f"the probe {name} gave no answer")
    return parts[name]


def _succeeds(parts: dict[str, survey.Part], name: str) -> bool:
    return _part(parts, name).status == 0


def _text(parts: dict[str, survey.Part], name: str) -> str:
    """What the probe printed as one line of text, empty where it failed."""
    part = _part(parts, name)
    return " ".join(part.text.split()) if part.status == 0 else ""


def _lenient(
    parts: dict[str, survey.Part], name: str, parse: Callable[[str], tuple[_T, ...]]
) -> tuple[_T, ...]:
    """What the probe named, none where it failed or its form is new: it only helps to choose."""
    part = _part(parts, name)
    try:
        return parse(part.text) if part.status == 0 else ()
    except ParseError:
        return ()


def _etc_read_only(parts: dict[str, survey.Part]) -> bool:
    part = _part(parts, "mounts")
    if part.status:
        return False
    points = {each.point: each for each in mount.parse_mounted(part.text)}
    holder = points.get("/etc") or points.get("/")
    return holder is not None and holder.read_only


def _marks(parts: dict[str, survey.Part]) -> tuple[str, ...]:
    part = _part(parts, "marks")
    names = host.parse_names(part.text) if part.status == 0 else frozenset()
    return tuple(sorted(name.removesuffix(".conf") for name in names if name.endswith(".conf")))


def _file(path: str, parts: dict[str, survey.Part]) -> TextFile:
    looked = _part(parts, f"stat:{path}")
    found = _MODE.fullmatch(looked.text.strip())
    if looked.status or found is None:
        return TextFile(path, None)
    mode, size = int(found[1], 8), int(found[2])
    if not stat.S_ISREG(mode):
        return TextFile(path, None, stat.S_IMODE(mode), "it is no regular file")
    odd = _odd(_part(parts, f"text:{path}"), size)
    content = "" if odd else parts[f"text:{path}"].text
    return TextFile(path, None if odd else content, stat.S_IMODE(mode), odd)


def _odd(content: survey.Part, size: int) -> str:
    """Why the content of a file of `size` bytes cannot be used, empty where it can."""
    if size > LIMIT:
        return f"it is larger than {LIMIT // 1024} KiB"
    if content.status:
        return "it cannot be read"
    if "\0" in content.text or "\ufffd" in content.text:
        return "it is no text in UTF-8"
    # A line in it that looks like a mark of the survey would cut it.
    if len(content.text.encode()) != size:
        return "it could not be read exactly"
    return ""
