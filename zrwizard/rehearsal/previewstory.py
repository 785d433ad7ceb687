"""What happened on hostA in four weeks: files written, renamed, removed; snapshots in between."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from zrwizard.rehearsal.zfsfiles import Blob, FileTree

HAN, LUCAS, EVE, WWW = 1001, 1002, 1003, 80
AWKWARD: tuple[bytes, ...] = (
    b"notes with spaces.txt",
    "café.txt".encode(),
    b"new\nline.txt",
    b"tab\there.txt",
    b"latin1-\xe9t\xe9.txt",
    b"a -> b",
    b"-rf",
    b"$(reboot)",
    b'it\'s "quoted"; rm x',
    b"\x1b[31mred\x1b[0m",
    b"back\\slash",
    b"\xff\xfe",
    b"trailing ",
    "日本語".encode(),
)
"""Names that something always gets wrong."""
_WORDS = b"the line disk boot pool tree moon rain salt iron glass north river stone paper".split()

RC = b"""hostname="hostA"
ifconfig_em0="DHCP"
zfs_enable="YES"
sshd_enable="YES"
"""
SSHD = b"""Port 22
PermitRootLogin no
PasswordAuthentication yes
Subsystem sftp /usr/libexec/sftp-server
"""


def prose(seed: int, lines: int) -> bytes:
    """Text that is always the same."""
    dice = random.Random(seed)  # noqa: S311 - a simulation
    return b"".join(b" ".join(dice.choices(_WORDS, k=9)) + b".\n" for _ in range(lines))


@dataclass(slots=True)
class Files:
    """The files of one data set while its story is told; paths without the leading slash."""

    tree: FileTree
    uid: int = 0
    gid: int = 0
    seed: int = 1
    made: int = field(default=0)

    def at(self, seconds: int) -> None:
        """It is now `seconds` since 1970; every change moves on a little."""
        self.tree.now = seconds * 10**9 + self.seed * 7919

    def tick(self) -> None:
        """A moment passes."""
        self.made += 1
        self.tree.now += 3_141_592 + self.made % 97 * 10_007

    def put(
        self, path: str | bytes, data: bytes | Blob = b"", kind: str = "F", **more: int
    ) -> None:
        """A new file, directory, link or device, with the directories that it needs."""
        name = _raw(path)
        head = name.rpartition(b"/")[0]
        if head and self.tree.at(head) is None:
            self.put(head, kind="/")
        self.tick()
        self.tree.put(b"/" + name, data, kind, uid=self.uid, gid=self.gid, **more)

    def write(self, path: str | bytes, data: bytes | Blob) -> None:
        """New contents in the same file."""
        self.tick()
        self.tree.write(b"/" + _raw(path), data)

    def edit(self, path: str | bytes, change: Callable[[bytes], bytes]) -> None:
        """New contents that follow from the old ones."""
        node = self.tree.at(_raw(path))
        self.write(path, change(node.read() if node else b""))

    def move(self, path: str | bytes, new: str | bytes) -> None:
        """A rename."""
        self.tick()
        self.tree.move(b"/" + _raw(path), b"/" + _raw(new))

    def remove(self, path: str | bytes, *, open_still: bool = False) -> None:
        """A file or a whole directory goes."""
        self.tick()
        self.tree.remove(b"/" + _raw(path), open_still=open_still)

    def link(self, path: str | bytes, new: str | bytes) -> None:
        """A hard link."""
        self.tick()
        self.tree.link(b"/" + _raw(path), b"/" + _raw(new))

    def change(self, path: str | bytes, **fields: int) -> None:
        """Owner, mode or flags."""
        self.tick()
        self.tree.change(b"/" + _raw(path), **fields)


def _raw(path: str | bytes) -> bytes:
    return path.encode() if isinstance(path, str) else path


# The system


def system_first(etc: Files) -> None:
    """What the operator wrote into /etc and /usr/local when the host was new."""
    for name, text in (
        ("etc/rc.conf", RC),
        ("etc/ssh/sshd_config", SSHD),
        ("etc/hosts", b"::1\t\t\tlocalhost\n127.0.0.1\t\tlocalhost\n"),
        ("etc/resolv.conf", b"nameserver 10.0.2.3\n"),
        ("etc/crontab", b"*/5\t*\t*\t*\t*\troot\t/usr/libexec/atrun\n"),
        ("usr/local/etc/pkg.conf", b'ABI = "FreeBSD:14:amd64";\n'),
        ("usr/local/lib/libz.so.6", prose(2, 400)),
    ):
        if etc.tree.at(name.encode()) is None:
            etc.put(name, text)
        else:
            etc.write(name, text)
    etc.put("etc/master.passwd", b"root:*:0:0::0:0:Charlie &:/root:/bin/sh\n", mode=0o600)
    etc.put("etc/localtime", b"/usr/share/zoneinfo/Europe/Berlin", "@")


def system_between(etc: Files) -> None:
    """An upgrade of packages and a careless hand."""
    etc.edit(
        "etc/rc.conf",
        lambda t: t.replace(b'"DHCP"', b'"inet 10.0.2.20/24"') + b'nginx_enable="YES"\n',
    )
    etc.edit("etc/ssh/sshd_config", lambda t: t.replace(b"yes", b"no"))
    etc.edit("etc/master.passwd", lambda t: t + b"eve:*:1003:1003::0:0:Eve:/home/eve:/bin/sh\n")
    etc.change("etc/crontab", mode=0o600)
    etc.remove("etc/resolv.conf")
    etc.remove("etc/localtime")
    etc.put("etc/localtime", b"/usr/share/zoneinfo/UTC", "@")
    etc.put("usr/local/etc/nginx/nginx.conf", b"worker_processes 2;\n")
    etc.write("usr/local/lib/libz.so.6", prose(3, 420))
    etc.change("usr/local/lib/libz.so.6", flags=0x20000)


# People


def han_first(home: Files) -> None:
    """Han's home: names of every kind, links, a database, pictures."""
    home.put(".profile", b"umask 022\nexport EDITOR=vi\n")
    home.put("src/main.c", b"#include <stdio.h>\n\nint main(void)\n{\n\treturn 0;\n}\n")
    home.put("src/Makefile", b"PROG=\tmain\nMAN=\n\n.include <bsd.prog.mk>\n")
    home.put("todo.txt", b"buy disks\ncall the bank\n")
    home.put("draft.txt", prose(5, 30))
    home.put("ledger.csv", b"date,amount\n2025-07-01,12.50\n")
    home.put("keep", b"one\n")
    home.put("twice", b"two names\n")
    home.link("twice", "letters-twice")
    home.put("letters", kind="/")
    home.put("photos/2024/beach.jpg", Blob(310_000, 11))
    home.put("photos/2024/hill.jpg", Blob(287_331, 12))
    home.put("photos/index.txt", b"beach\nhill\n")
    home.put("old/a.txt", b"a\n")
    home.put("old/deep/b.txt", b"b\n")
    home.put("mail.db", Blob(3 << 20, 13), mode=0o600)
    home.put("holiday.mp4", Blob(41_943_040, 14))
    home.put("logo.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)
    home.put("current", b"photos/2024", "@")
    home.put("dangling", b"/nowhere/at/all", "@")
    home.put("kind", b"a file that becomes a directory\n")
    home.put("agent.sock", kind="=")
    home.put("empty", b"")
    for number, name in enumerate(AWKWARD):
        home.put(name, b"awkward %d\n" % number)


def han_between(home: Files) -> None:
    """A week of Han's: of every kind of change at least one."""
    home.edit(".profile", lambda t: t.replace(b"vi", b"ee") + b"alias ll='ls -l'\n")
    home.edit("src/main.c", lambda t: t.replace(b"return 0", b'return puts("hello") < 0'))
    home.put("src/util.h", b"#pragma once\n")
    home.remove("ledger.csv")
    home.move("draft.txt", "letters/final.txt")
    home.link("keep", "letters/keep-too")
    home.remove("letters-twice")
    home.move("photos", "pictures")
    home.edit("pictures/index.txt", lambda t: t + b"lake\n")
    home.put("pictures/2025/lake.jpg", Blob(402_117, 15))
    home.remove("old")
    home.write("mail.db", Blob((3 << 20) + 65536, 16))
    home.remove("holiday.mp4")
    home.edit("logo.png", lambda t: t[:1000] + b"\0changed\0" + t[1000:])
    home.remove("current")
    home.put("current", b"pictures/2025", "@")
    home.remove("kind")
    home.put("kind/inside.txt", b"now a directory\n")
    home.remove("agent.sock")
    home.put("queue", kind="|")
    home.change("empty", mode=0o4755)
    home.put(".todo.swp", b"buy disks\ncall the bank\nread the manual\n")
    home.move(".todo.swp", "todo.txt")
    home.remove("src/Makefile")
    home.tree.reuse()
    home.put("src/GNUmakefile", b"all:\n\tcc main.c\n")
    for number, name in enumerate(AWKWARD[:9]):
        home.edit(name, lambda t: t + b"more\n")
        if number % 3 == 2:
            home.move(name, b"letters/" + name + b".moved")
    home.remove(AWKWARD[10])
    for name in (b"fresh\ttab", b"fresh\nline", b"\xc3\x28", b"fresh -> arrow"):
        home.put(b"letters/" + name, b"new\n")
    home.change(AWKWARD[13], uid=LUCAS)


def han_after(home: Files) -> None:
    """What happened since the last snapshot."""
    home.edit("todo.txt", lambda t: t + b"try the preview\n")
    home.put("since yesterday.txt", b"not in any snapshot\n")
    home.remove("empty")


def lucas_first(home: Files) -> None:
    """A small home; the data set had another name then."""
    home.put("thesis.tex", prose(21, 120))
    home.put("figures/one.svg", b"<svg/>\n")


def lucas_between(home: Files) -> None:
    """More of the thesis."""
    home.edit("thesis.tex", lambda t: t + prose(22, 40))
    home.put("figures/two.svg", b"<svg><g/></svg>\n")


def eve_first(home: Files) -> None:
    """A new user's home."""
    home.put(".profile", b"umask 022\n")
    home.put("hello.txt", b"hello\n")


# Data and services


def data_first(data: Files) -> None:
    """Hundreds of files of projects."""
    for folder in range(40):
        for number in range(15):
            data.put(
                f"project-{folder:02d}/part-{number:02d}.txt",
                prose(folder * 100 + number, 3 + number),
            )
    data.put("inbox", kind="/")


def data_between(data: Files) -> None:
    """One project goes, one is renamed, many are worked on."""
    for folder in range(0, 40, 2):
        for number in range(0, 15, 3):
            data.edit(f"project-{folder:02d}/part-{number:02d}.txt", lambda t: t + b"revised\n")
    data.remove("project-07")
    data.move("project-11", "project-11-archived")
    data.move("project-12/part-01.txt", "inbox/from-12.txt")
    for number in range(80):
        data.put(f"project-40/new-{number:02d}.txt", prose(4000 + number, 6))


def data_after(data: Files) -> None:
    """A little since the last snapshot."""
    data.put("inbox/today.txt", b"today\n")


def log_first(log: Files) -> None:
    """Logs, one of which is still written to after it was removed."""
    log.put("messages", prose(31, 60))
    log.put("app.log", prose(32, 30))
    log.put("auth.log", b"", mode=0o600)


def log_between(log: Files) -> None:
    """A rotation, and a daemon that keeps its file open."""
    log.move("messages", "messages.0")
    log.put("messages", prose(33, 20))
    log.remove("app.log", open_still=True)
    log.edit("auth.log", lambda t: t + b"sshd[812]: Accepted publickey for han\n")


def log_after(log: Files) -> None:
    """The log goes on."""
    log.edit("messages", lambda t: t + prose(34, 2))


def mail_first(mail: Files) -> None:
    """A mailbox on a data set that keeps access times."""
    mail.put("han", b"From cron@hostA\n\nhello\n\n", mode=0o600)


def mail_between(mail: Files) -> None:
    """Mail comes in."""
    mail.edit("han", lambda t: t + b"From cron@hostA\n\nagain\n\n")


def www_first(www: Files) -> None:
    """A site."""
    www.put("index.html", b"<h1>hostA</h1>\n")
    www.put("style.css", b"h1 { color: navy }\n")
    www.put("old.html", b"<p>old</p>\n")


def www_between(www: Files) -> None:
    """The site after its clone was promoted."""
    www.edit("index.html", lambda t: t + b"<p>moved</p>\n")
    www.remove("old.html")


def www_new(www: Files) -> None:
    """What the promoted clone has of its own."""
    www.put("app/server.py", b"print('new site')\n")
    www.edit("style.css", lambda t: t.replace(b"navy", b"teal"))


def archive_first(archive: Files) -> None:
    """Files of a data set that is not mounted."""
    archive.put("2023/taxes.pdf", Blob(180_000, 41))
    archive.put("readme.txt", b"Mounted on demand.\n")


def archive_between(archive: Files) -> None:
    """It was mounted once in between."""
    archive.put("2024/taxes.pdf", Blob(190_500, 42))
    archive.edit("readme.txt", lambda t: t + b"Two years.\n")


def disk_first(volume: Files) -> None:
    """A volume's blocks, as objects of which nobody knows the meaning."""
    for number in range(6):
        volume.put(f"extent-{number}", Blob(1 << 20, 50 + number))


def disk_between(volume: Files) -> None:
    """The guest on it wrote something."""
    volume.write("extent-2", Blob(1 << 20, 60))
    volume.put("extent-6", Blob(1 << 20, 61))


def nothing(files: Files) -> None:
    """Nothing happened."""
    del files
