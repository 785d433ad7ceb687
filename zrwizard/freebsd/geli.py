"""geli(8): encrypted providers, whose key comes from standard input and rests nowhere. Facts C3.

A provider is named as geli(8) takes it: `da0`, `/dev/da0` or `gpt/vault`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import sh, text
from .errors import Diagnosis, ParseError, diagnose, rule

TOOL = "geli"
SECTOR = 4096
KEY_BITS = 256
ASKED_AT_BOOT = 0x82
"""The flags that `init -b -g` sets: BOOT (the kernel asks) and GELIBOOT (the loader may)."""


@dataclass(frozen=True, slots=True)
class Attached:
    """An attached provider (`da0.eli`), its status and what it lies on (`da0`)."""

    name: str
    status: str
    component: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a provider's last sector says of its encryption; sizes in bytes, `keylen` in bits.

    `keys` has one bit for each of the two master key slots in use. `iterations` is -1 where no
    passphrase is part of the key. Salt and the (encrypted) master key are left out on purpose.
    """

    provider: str
    version: int
    flags: int
    ealgo: str
    keylen: int
    provsize: int
    sectorsize: int
    keys: int
    iterations: int

    @property
    def keyfile_only(self) -> bool:
        """Whether a key file alone opens it (`-P` at init, `-p` at attach)."""
        return self.iterations == -1


# --- commands ---------------------------------------------------------------------------------


def init(provider: str) -> str:
    """Command: encrypt `provider` anew, with the key on stdin and no passphrase; erases it.

    No metadata backup is written there: on a read-only /var that fails after the fact (facts F2).
    """
    return sh.command(
        *("geli", "init", "-s", str(SECTOR), "-l", str(KEY_BITS)),
        *("-P", "-K", "-", "-B", "none", provider),
    )


def init_passphrase(provider: str) -> str:
    """Command: encrypt `provider` anew for a start of the machine, with a passphrase on stdin."""
    return sh.command(
        *("geli", "init", "-b", "-g", "-e", "AES-XTS", "-l", str(KEY_BITS), "-s", str(SECTOR)),
        *("-J", "-", "-B", "none", provider),
    )


def attach_passphrase(provider: str) -> str:
    """Command: open `provider` with the passphrase on stdin."""
    return sh.command("geli", "attach", "-j", "-", provider)


def try_passphrase(provider: str) -> str:
    """Command: succeeds if the passphrase on stdin opens `provider`; attaches nothing."""
    return sh.command("geli", "attach", "-C", "-j", "-", provider)


def clear(provider: str) -> str:
    """Command: wipe the metadata of a provider that is not attached."""
    return sh.command("geli", "clear", provider)


def attach(provider: str) -> str:
    """Command: open `provider` with the key on stdin; silent on success.

    Never with -d: an import closes its device in the middle, which would detach it (recorded).
    """
    return sh.command("geli", "attach", "-p", "-k", "-", provider)


def try_key(provider: str) -> str:
    """Command: succeeds if the key on stdin opens `provider`; attaches nothing."""
    return sh.command("geli", "attach", "-C", "-p", "-k", "-", provider)


def detach(provider: str, force: bool = False) -> str:
    """Command: close `provider` and forget its key; with `force` even where it is open."""
    return sh.join(["geli", "detach", *(["-f"] if force else []), provider])


def backup(provider: str, path: str) -> str:
    """Command: save the metadata (one sector, of no use without the key) in the file `path`."""
    return sh.command("geli", "backup", provider, path)


def restore(provider: str, path: str) -> str:
    """Command: write saved metadata back; refuses a provider of another size."""
    return sh.command("geli", "restore", path, provider)


def dump(provider: str) -> str:
    """Command: the metadata in words, without salt and master key."""
    return sh.pipeline(
        sh.command("geli", "dump", provider),
        sh.command("grep", "-v", "-E", "^(      Salt|Master Key|  MD5 hash): "),
    )


def status() -> str:
    """Command: the attached providers; fails where the class is not loaded."""
    return sh.command("geli", "status")


# --- parsers ----------------------------------------------------------------------------------


def parse_status(output: str) -> tuple[Attached, ...]:
    """The attached providers; none for empty output. Raises ParseError. Facts B4."""
    found: list[Attached] = []
    for line in text.lines(output):
        words = line.split()
        if words == ["Name", "Status", "Components"]:
            continue
        if len(words) != 3:
            raise ParseError("geli status", "name, status and component were expected", line)
        found.append(Attached(*words))
    return tuple(found)


_HEAD = re.compile(r"Metadata on (\S.*):")
_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9 ]*): (\S+)")
_NUMBER = re.compile(r"-1|0x[0-9a-f]{1,16}|[0-9]{1,20}", re.ASCII)


def parse_dump(output: str) -> Metadata:
    """The metadata that `geli dump` printed for one provider. Raises ParseError. geli(8)."""
    rows = text.lines(output)
    head = _HEAD.fullmatch(rows[0].strip()) if rows else None
    if head is None:
        raise ParseError("geli dump", "no metadata was shown", output)
    fields: dict[str, str] = {}
    for line in rows[1:]:
        field = _FIELD.fullmatch(line.strip())
        if field is None:
            raise ParseError("geli dump", "a name and a value were expected", line)
        fields[field[1]] = field[2]
    if fields.get("magic") != "GEOM::ELI":
        raise ParseError("geli dump", "not the metadata of geli", output)
    return Metadata(
        provider=head[1],
        version=_number(fields, "version"),
        flags=_number(fields, "flags"),
        ealgo=_word(fields, "ealgo"),
        keylen=_number(fields, "keylen"),
        provsize=_number(fields, "provsize"),
        sectorsize=_number(fields, "sectorsize"),
        keys=_number(fields, "keys"),
        # Printed without a sign by some releases.
        iterations=-1 if (rounds := _number(fields, "iterations")) == 0xFFFFFFFF else rounds,
    )


def _word(fields: dict[str, str], name: str) -> str:
    if name not in fields:
        raise ParseError("geli dump", f"{name} is missing")
    return fields[name]


def _number(fields: dict[str, str], name: str) -> int:
    word = _word(fields, name)
    if not _NUMBER.fullmatch(word):
        raise ParseError("geli dump", f"{name} is no number", word)
    return int(word, 16) if word.startswith("0x") else int(word)


# --- complaints -------------------------------------------------------------------------------

_PROV = r"(?P<dev>\S+?)"
_RULES = (
    rule(
        "backup failed",
        r"geli: Unable to open (?P<path>[^\n]*?): (?P<why>[^\n]*?)\.$",
        "The provider was initialised, but its metadata could not be saved in {path}: {why}.",
        "Do not initialise it again: save the metadata elsewhere with geli backup.",
    ),
    rule(
        "wrong key",
        rf"geli: Wrong key for {_PROV}\.$",
        "The key does not open {dev}: it is another disk's key, or a passphrase belongs to it too.",
        "Give the key that was made for this disk; nothing was changed.",
    ),
    rule(
        "not geli",
        rf"geli: Cannot read metadata from {_PROV}: Invalid argument\.$",
        "{dev} is not encrypted with geli, or its last sector was overwritten.",
        "Look at the disk again; saved metadata can be written back with geli restore.",
    ),
    rule(
        "no provider",
        rf"geli: Cannot read metadata from {_PROV}: No such file or directory\.$",
        "There is no {dev} on the target.",
        "Check that the disk is plugged in and has power; it may have another name now.",
    ),
    rule(
        "unreadable",
        rf"geli: Cannot read metadata from {_PROV}: (?P<why>[^\n]*?)\.$",
        "The metadata of {dev} cannot be read: {why}.",
        "Look at the console for disk errors, and check the cable.",
    ),
    rule(
        "wrong backup",
        r"geli: Provider size mismatch: wrong backup file\?",
        "The saved metadata belong to a provider of another size.",
        "Use the backup that was made of this very disk or partition.",
    ),
    rule(
        "size changed",
        r"geli: Provider size mismatch\.",
        "The disk or partition has another size than when it was encrypted.",
        "Look whether it is the right one; after a resize use geli resize -s OLDSIZE.",
    ),
    rule(
        "attached",
        rf"geli: Cannot access {_PROV} \(error=1\)\.",
        "{dev} is in use: it is attached already, or something else has it open.",
        "Look at geli status; export its pool and detach it first.",
    ),
    rule(
        "no access",
        rf"geli: Cannot access {_PROV} \(error=(?P<error>\d+)\)\.",
        "{dev} cannot be opened (error {error}).",
        "Look at the console for disk errors, and check the cable.",
    ),
    rule(
        "open",
        rf"geli: Cannot destroy device {_PROV} \(error=16\)\.",
        "{dev} is still open.",
        "Export the pool on it (zpool export), then detach it again.",
    ),
    rule(
        "not attached",
        rf"geli: No such device: {_PROV}\.$",
        "{dev} is not attached.",
        "Nothing to do if it was to be detached; otherwise attach it first.",
    ),
    rule(
        "missing -p",
        r"geli: Missing -p flag\.",
        "The disk is opened by a key file alone, and a passphrase was given.",
        "Attach it with -p.",
    ),
    rule(
        "no key",
        r"geli: No key components given\.",
        "No key was given.",
        "Give the key file (-k), or take away -p and give the passphrase.",
    ),
    rule(
        "both",
        r"geli: Options -(?P<one>\w) and -(?P<two>\w) are mutually exclusive\.",
        "geli takes -{one} or -{two}, not both.",
        "Leave one of the two away.",
    ),
    rule(
        "no keyfile",
        r"geli: Cannot open keyfile (?P<path>[^\n]*?): (?P<why>[^\n]*?)\.$",
        "The key file {path} cannot be opened: {why}.",
        "Deliver the key again, through standard input or while geli waits at the fifo.",
    ),
    rule(
        "last key",
        r"geli: This is the last Master Key\.",
        "This is the last key that opens the disk.",
        "Set another key first; without one its data are gone for good.",
    ),
    rule(
        "killed",
        rf"geli: No valid keys on {_PROV}\.",
        "{dev} holds no key any more: all of them were deleted.",
        "Write saved metadata back with geli restore, then attach it.",
    ),
    rule(
        "memory",
        r"geli: Cannot lock memory: (?P<why>[^\n]*?)\.?$",
        "geli could not keep its key out of swap: {why}.",
        "Run it as root, and with more memory free.",
    ),
    rule(
        "no class",
        r"geli: Class '?ELI'? (?:not found|does not exist)|geli: No such (?:class|command)",
        "The running kernel does not know geli.",
        "Load it with kldload geom_eli.",
    ),
)


def explain(stderr: str) -> Diagnosis | None:
    """What a known complaint of geli(8) means and what to do now; None for an unknown one.

    `There was an error with at least one provider` alone explains nothing, so it is no rule.
    """
    return diagnose(_RULES, stderr)
