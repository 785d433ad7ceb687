r"""zfs-diff(8): what changed between two snapshots, read exactly and as it comes.

The form is that of facts B5, `-FHt` without `-h`: `TIME TAB KIND TAB TYPE TAB PATH`, and behind it
the new path of a renamed one or `(+1)` where the number of hard links changed. Every byte of a name
up to the blank, `\` and everything from DEL on comes as `\` and four octal digits, so a tab always
parts columns and a newline always ends a line.

Two things that zfs prints are no files (libzfs_diff.c, get_stats_for_obj):

* `MOUNTPOINT(on_delete_queue)` stands for a file that was deleted while some process had it open.
  Its name is gone, so one "renamed" to there was removed, and what has no other name is left out.
  Only with `mount` can a `Reader` tell it from a file that somebody named like this.
* `/<xattrdir>` in a path: what lies behind it are extended attributes, which no path leads to.

And two things it does not tell, seen with 2.1: the name that went or came with a hard link (the
other name has `(-1)` or `(+1)`), and a file that was deleted while it was open. Only the
directory's own M hints at them.
"""

from __future__ import annotations

import re

from zrwizard.preview.events import Change, Kind

from .errors import Diagnosis, ParseError, diagnose, rule

TOOL = "zfs diff"
_QUEUE = b"(on_delete_queue)"
# 1024 bytes are the longest path of FreeBSD, 4096 that of Linux; each byte takes up to five.
_LONG = 5 * 4096
_PIECE = 1 << 16
_MINUS = ord("-")
_LONGEST = 2 * _LONG + 128
# The three groups tell the kinds with a column of their own: R has a new path, M may have (+1).
# Seconds are ten wide at least: fewer are the end of a number that a console's message cut in two.
_LINE = re.compile(
    rb"^(?=[ 0-9-]{10}) {0,9}(-?[0-9]{1,19})\.([0-9]{9})\t(?:([-+])|(M)|(R))"
    rb"\t([F/@BC|=>P?])\t([!-~]{1,%d})"
    rb"(?(5)\t([!-~]{1,%d})|(?(4)(?:\t\(([-+][0-9]{1,10})\))?))\n" % (_LONG, _LONG),
    re.MULTILINE,
)
# Exactly what stream_bytes() escapes; anything else behind a backslash was not written by zfs.
_ESCAPE = re.compile(rb"\\0(?:0(?:0[1-7]|[123][0-7]|40)|134|177|[23][0-7][0-7])")
# What is the same in a million lines is made once.
_LETTERS = {letter.encode(): letter for letter in "+-MRF/@BC|=>P?"}


def diff(older: str, newer: str) -> tuple[str, ...]:
    """Command: the changes from a snapshot to a later one, or to a file system as it is now.

    The dataset must be mounted. Against a file system zfs makes a temporary snapshot
    (`zfs-diff-PID`), so that is not asked without the operator's word.
    """
    return ("zfs", "diff", "-FHt", older, newer)


class Reader:
    """Decodes the output of `diff` from pieces of any size; the pieces make no difference.

    `mount` is where the newer dataset is mounted, for telling `(on_delete_queue)` from a file.
    With `lenient` a line that zfs cannot have written is left out and counted in `damaged`, in
    place of the error: the console it came over may have put messages in between, and as zfs
    escapes every blank, those are told from names.
    """

    def __init__(self, mount: bytes | None = None, *, lenient: bool = False) -> None:
        # libzfs drops the slash of a dataset that is mounted at / (get_mountpoint).
        self._gone = None if mount is None else (b"" if mount == b"/" else mount) + _QUEUE
        self._tail: list[bytes] = []
        self._held = 0
        self._lines = 0
        self._failure: ParseError | None = None
        self._lenient = lenient
        self.damaged = 0

    @property
    def failure(self) -> ParseError | None:
        """What the next call will raise: the line after what was returned is not zfs's."""
        return self._failure

    def feed(self, data: bytes) -> list[Change]:
        """The changes whose lines `data` completes, in their order.

        Raises ParseError, naming the line, for one that zfs cannot have written; what stands
        before it in the same piece is returned first, so it may be the next call that raises (or
        `failure` that tells at once). Nothing is taken after it.
        """
        if self._failure:
            raise self._failure
        end = data.rfind(b"\n") + 1
        if not end:
            self._keep(data)
            if self._failure:
                raise self._failure
            return []
        whole = b"".join((*self._tail, data[:end]))
        self._tail, self._held = [], 0
        changes = self._lines_of(whole)
        if not self._failure:
            self._keep(data[end:])
        if self._failure and not changes:
            raise self._failure
        return changes

    def close(self) -> None:
        """End the output. Raises ParseError where it broke off within a line, or `feed` would."""
        if self._failure is None and self._held:
            self._fail("the last line broke off", b"".join(self._tail))
        if self._failure:
            raise self._failure

    def _keep(self, rest: bytes) -> None:
        if rest:
            self._tail.append(rest)
            self._held += len(rest)
        if self._held > _LONGEST:
            self._fail("a line is longer than two paths can be", b"".join(self._tail))

    def _fail(self, what: str, line: bytes) -> None:
        if self._lenient:
            self.damaged += 1
            self._tail, self._held = [], 0
            return
        text = line[:400].decode("latin-1")
        self._failure = ParseError(TOOL, f"line {self._lines + 1}: {what}", text)

    def _lines_of(self, whole: bytes) -> list[Change]:
        found: list[Change] = []
        begin = 0
        while begin < len(whole) and not self._failure:
            # A piece that stays in the processor's cache is read in two thirds of the time.
            end = whole.find(b"\n", min(begin + _PIECE, len(whole) - 1)) + 1
            found += self._piece(whole[begin:end])
            begin = end
        return found

    def _piece(self, whole: bytes) -> list[Change]:
        changes = _changes(whole, whole.count(b"\n"))
        if changes is None:
            changes = self._one_by_one(whole)
        else:
            self._lines += len(changes)
        if _QUEUE in whole:
            changes = [real for change in changes if (real := self._undeleted(change))]
        return changes

    def _one_by_one(self, whole: bytes) -> list[Change]:
        """The changes up to the line that is wrong, which is remembered."""
        changes: list[Change] = []
        for line in whole[:-1].split(b"\n"):
            found = _changes(line + b"\n", 1)
            if found is None:
                self._fail("zfs diff prints no such line", line)
                if self._failure:
                    break
                continue
            changes += found
            self._lines += 1
        return changes

    def _undeleted(self, change: Change) -> Change | None:
        gone = self._gone
        if gone is None:
            return change
        if change.path == gone:
            if change.new_path is None or change.new_path == gone:
                return None
            return change._replace(kind=Kind.ADDED.value, path=change.new_path, new_path=None)
        if change.new_path == gone:
            return change._replace(kind=Kind.REMOVED.value, new_path=None)
        return change


def _changes(whole: bytes, lines: int) -> list[Change] | None:
    """The changes of so many whole lines; None where one of them is not zfs's."""
    rows = _LINE.findall(whole)
    # Each match is one whole line, so as many matches as lines leave nothing unread.
    if len(rows) != lines:
        return None
    paths, new_paths = [row[6] for row in rows], [row[7] for row in rows]
    escapes = whole.count(b"\\")
    if escapes:
        if len(_ESCAPE.findall(whole)) != escapes:
            return None
        paths, new_paths = _decoded(paths), _decoded(new_paths)
    letters, new = _LETTERS, tuple.__new__  # a million calls of Change() take half a second more
    return [
        new(
            Change,
            (
                letters[simple or modified or renamed],
                letters[kind],
                path,
                new_path or None,
                int(links) if links else 0,
                int(seconds + fraction)
                if seconds[0] != _MINUS
                else int(seconds) * 1_000_000_000 + int(fraction),
            ),
        )
        for (
            seconds,
            fraction,
            simple,
            modified,
            renamed,
            kind,
            _,
            _,
            links,
        ), path, new_path in zip(rows, paths, new_paths, strict=True)
    ]


def _decoded(names: list[bytes]) -> list[bytes]:
    """The names without their escapes, all of which are known to be right."""
    # Python reads three octal digits as zfs means them, and fastest in one piece; no name has NUL.
    together = b"\0".join(names).replace(b"\\0", b"\\")
    return together.decode("unicode_escape").encode("latin-1").split(b"\0")


# --- complaints -------------------------------------------------------------------------------

_AGAIN = "Compare again; what has come so far is only a part."
_RULES = (
    rule(
        "not mounted",
        r"Cannot diff an unmounted snapshot",
        "zfs diff reads only mounted file systems, and this one is not mounted.",
        "Agree to its being mounted read-only for the while, or mount it yourself.",
    ),
    rule(
        "not earlier",
        r"Not an earlier snapshot from the same fs",
        "The older snapshot does not precede the newer one in the same file system.",
        "Swap the two, or choose snapshots of one history.",
    ),
    rule(
        "key not loaded",
        r"Key must be loaded to discover path names|(?i:encryption key not loaded)",
        "The dataset is encrypted and its key is not loaded, so names cannot be read.",
        "Load the key with zfs load-key and mount the dataset.",
    ),
    rule(
        "no permission",
        r"diff delegated permission\s+is needed|(?:sys_mount|sys_config) privilege"
        r"|[Pp]ermission denied|Operation not permitted",
        "The login may not compare snapshots.",
        "Log in as root, or give the user the right with zfs allow USER diff DATASET.",
    ),
    rule(
        "no temporary snapshot",
        r"Cannot create just-in-time snapshot of '(?P<name>[^'\n]*)'(?:: (?P<why>[^\n]*))?",
        "zfs could not make its temporary snapshot of {name}: {why}",
        "Compare two snapshots that are there instead of the live file system.",
    ),
    rule(
        "names not known",
        r"Unable to determine path or stats for object (?P<object>\d+) in (?P<name>[^:\n]+)"
        r"(?:: (?P<why>[^\n]*))?",
        "zfs could not find the path of object {object} in {name}: {why}",
        "The list may miss that file, or call it new or removed. Run zpool status -v.",
    ),
    rule(
        "snapshots not clear",
        r"Unable to determine which snapshots to compare|Badly formed snapshot name",
        "zfs did not understand which snapshots to compare.",
        "Choose both again from the list.",
    ),
    rule(
        "no files",
        r"cannot open '(?P<name>[^'\n]*)': operation not applicable to datasets of this type",
        "{name} is a volume, which has no files to compare.",
        "Look at how much was written to it instead.",
    ),
    rule(
        "no such dataset",
        r"cannot open '(?P<name>[^'\n]*)': (?:dataset does not exist|no such pool)",
        "{name} does not exist.",
        "Look again; it may have been destroyed or renamed meanwhile.",
    ),
    rule(
        "snapshot missing",
        r"Unable to obtain diffs: No such file or directory",
        "One of the two snapshots does not exist.",
        "Look again; it may have been destroyed or renamed meanwhile.",
    ),
    rule(
        "damaged pool",
        r"Unable to obtain diffs: (?:Input/output error|Integrity check failed)"
        r"|(?i:checksum error)",
        "The pool could not read what it needed: its data are damaged or a disk is gone.",
        "Run zpool status -v. What has come so far is only a part.",
    ),
    rule(
        "interrupted",
        r"Unable to obtain diffs: Interrupted system call|signal received",
        "zfs diff was interrupted.",
        _AGAIN,
    ),
    rule(
        "broke off",
        r"Unable to obtain diffs|bad data from diff IOCTL|next allocated object .* find failure"
        r"|zfs diff failed",
        "zfs diff broke off.",
        _AGAIN,
    ),
)


def explain(stderr: str) -> Diagnosis | None:
    """What a known complaint of zfs diff means, and what to do now. Facts B5, libzfs_diff.c.

    A complaint of the kind `names not known` can come with exit status 0: zfs goes on after it.
    """
    return diagnose(_RULES, stderr)
