"""One look at a detached transfer: the sh text of it, and its answer.

Everything that a look wants comes back in one round trip of the console, in data mode. The bytes
that the NIC receives are summed by a second detached job, so that no counter is lost between two
looks and nothing but one small line is kept. Of the rows that zfs send adds to the log each second
only the newest of a snapshot is fetched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from zrwizard.freebsd import netstat, zfs_send_progress
from zrwizard.freebsd.errors import ParseError
from zrwizard.freebsd.sh import quote
from zrwizard.mover import State, parse_state

LOG_PIECE = 65536
"""Bytes of the log that one look reads; most of them are progress, and stay where they are."""
METER_SUFFIX = "-meter"
_STATE = b"state "
_INTEGER = re.compile(r"\d{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw; None where a value could not be read.

    `net` bytes received by the NIC since the meter began, `seconds` rows of netstat(1) since
    then, `used` bytes in the pool, `alive` whether the job's process exists, `rc` its exit status
    once it has ended, `log` what is new in the log from the asked offset up to `end`, its rows of
    progress thinned out. `end` is 0 where nothing is new. `state` is the mover's, where it is one.
    """

    net: int | None
    seconds: int | None
    used: int | None
    alive: bool
    rc: int | None
    end: int
    log: bytes
    state: State | None = None


def job_dir(home: str, job: str) -> str:
    """Return the directory of the detached job `job` (files run, log, pid, rc)."""
    return f"{home}/jobs/{job}"


def total_path(home: str, job: str) -> str:
    """Return the file that holds the meter's running total: bytes and seconds."""
    return f"{home}/jobs/{job}{METER_SUFFIX}.total"


def meter_script(nic: str, total: str, base: int = 0, seconds: int = 0) -> str:
    """Return the meter's job script: netstat(1) rows added up into the small file `total`.

    `base` and `seconds` continue an earlier meter. The rows of `netstat -I nic -w 1` have eight
    columns, the fourth is the bytes received in that second; the headers that are repeated among
    them are not numbers (facts B3).
    """
    # A loop of sh and not awk(1): some awks read a pipe in blocks and would lag by minutes.
    return (
        f"n={base} s={seconds}\n"
        f"{netstat.watch(nic)} | while read -r p e d b rest; do\n"
        '  case "$p/$e/$d/$b" in *[!0-9/]* | */) continue ;; esac\n'
        "  n=$((n + b)) s=$((s + 1))\n"
        f'  echo "$n $s" > {quote(total)}\n'
        "done\n"
    )


def poll_path(home: str, job: str) -> str:
    """Return the file on the target that holds the text of a look."""
    return f"{home}/jobs/{job}.look"


def poll_script(home: str, job: str, pool: str, mover: str = "") -> str:
    """Return the sh text of one look; $1 is how many bytes of the log are known already.

    With `mover`, its directory, log and state are the mover's. It is kept in a file on the target,
    so that a look costs one short line on the console.
    """
    where = job_dir(home, job)
    # What a mover's job itself says is next to nothing: it has a log of its own.
    log = quote((mover or where) + "/log")
    state = (f"sed 's/^/state /' {quote(mover + '/state')} 2>/dev/null",) if mover else ()
    return "\n".join(
        (
            f"echo net $(cat {quote(total_path(home, job))} 2>/dev/null)",
            f"echo used $(zfs get -Hp -o value used {quote(pool)} 2>/dev/null)",
            f"echo alive $(kill -0 $(cat {quote(where + '/pid')} 2>/dev/null) 2>/dev/null "
            "&& echo 1)",
            f"echo rc $(cat {quote(where + '/rc')} 2>/dev/null)",
            *state,
            # The log grows meanwhile; only what it holds now is looked at.
            f"new=$(($({{ wc -c < {log}; }} 2>/dev/null) - $1))",
            f'[ "$new" -lt {LOG_PIECE} ] || new={LOG_PIECE}',
            '[ "$new" -gt 0 ] || exit 0',
            "echo end $(($1 + new))",
            "echo log",
            f'{{ tail -c +$(($1 + 1)) {log} | head -c "$new"; echo .; }} | '
            + zfs_send_progress.digest(),
            "",
        )
    )


def poll_command(home: str, job: str, offset: int) -> str:
    """Return the command that looks, with the log from byte `offset` (0: the beginning) on."""
    return f"sh {quote(poll_path(home, job))} {offset}"


def parse_poll(out: bytes) -> Look:
    """Return what `poll_script` printed; never raises: what is missing or odd is None."""
    values: dict[str, list[str]] = {}
    rest = out
    log = b""
    state = ""
    while rest:
        raw, _, rest = rest.partition(b"\n")
        words = raw.decode("utf-8", "replace").split()
        if words and words[0] == "log":
            log = rest
            break
        if raw.startswith(_STATE):
            state += raw.removeprefix(_STATE).decode("utf-8", "replace") + "\n"
        if words:
            values[words[0]] = words[1:]
    net = values.get("net", [])
    return Look(
        net=_number(net, 0),
        seconds=_number(net, 1),
        used=_number(values.get("used", []), 0),
        alive=values.get("alive") == ["1"],
        rc=_number(values.get("rc", []), 0),
        end=_number(values.get("end", []), 0) or 0,
        log=log,
        state=_parsed(state),
    )


def _parsed(state: str) -> State | None:
    try:
        return parse_state(state)
    except ParseError:
        return None


def _number(words: list[str], index: int) -> int | None:
    if index >= len(words) or not _INTEGER.fullmatch(words[index]):
        return None
    return int(words[index])
