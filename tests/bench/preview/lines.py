"""Lines as `zfs diff -FHt` prints them, as many as are wanted; the same seed gives the same bytes.

Shaped after home directories and a mail server: paths of four to nine names, one line in seven a
directory, mostly some ten entries in a directory and now and then thousands, all kinds of change,
replaced and renamed files, some names with blanks and letters that zfs escapes. zfs goes by object
number, so lines of one directory come in runs with those of others between them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from zrwizard.preview.events import Fate, Pair

_WORDS = re.findall(
    r"\w+",
    "src build cache index report photo invoice draft module test config backup archive data log "
    "session profile image video thumb asset vendor lib node_modules dist static public private "
    "notes meeting project client server worker queue store record table column letter budget",
)
_ENDINGS = re.findall(
    r"\.\w+", ".c .h .py .js .json .txt .md .jpg .png .pdf .xml .html .o .log .sqlite .eml"
)
_ODD = ("Neue\\0040Datei", "r\\0303\\0251sum\\0303\\0251", "a\\0134b", "x\\0040-\\0040copy")
PAIRS = tuple(
    Pair(f"tank{name}", Fate.BOTH, f"tank{name}@mon", f"tank{name}@tue", f"/tank{name}".encode())
    for name in ("/home", "/home/alice", "/home/bob", "/mail")
)
_AHEAD = 40


def write(count: int, seed: int = 1) -> list[tuple[Pair, bytes]]:
    """Return about `count` lines in all (never fewer): what zfs diff says of each pair."""
    share = count // len(PAIRS) + 1
    texts = []
    for at, pair in enumerate(PAIRS):
        found = _lines(random.Random(seed * 1000 + at), pair, share)
        texts.append((pair, "".join(found).encode()))
    return texts


def _lines(dice: random.Random, pair: Pair, count: int) -> list[str]:
    """`count` lines of one dataset, those of some directories at a time mixed."""
    assert pair.mount is not None
    directories = _directories(dice, pair.mount.decode())
    open_now = [_entries(dice, *next(directories)) for _ in range(_AHEAD)]
    found: list[str] = []
    while len(found) < count:
        at = dice.randrange(_AHEAD)
        for _ in range(dice.randint(1, 24)):
            line = next(open_now[at], None)
            if line is None:
                open_now[at] = _entries(dice, *next(directories))
                break
            found.append(line)
    return found[:count]


def _directories(dice: random.Random, mount: str) -> Iterator[tuple[str, str]]:
    """Yield (directory, kind) without end: each below one of those before it."""
    above = [mount]
    while True:
        parent = above[int(len(above) * dice.random())]
        path = f"{parent}/{dice.choice(_WORDS)}{len(above):x}"
        if path.count("/") > 8:
            path = f"{mount}/{dice.choice(_WORDS)}{len(above):x}"
        above.append(path)
        yield path, dice.choices("M+-", (5, 3, 2))[0]


def _entries(dice: random.Random, directory: str, kind: str) -> Iterator[str]:
    """Yield the lines of one directory: its own, then those of what is in it."""
    when = 1_700_000_000 + dice.randrange(10_000_000)
    yield f"{when}.{dice.randrange(10**9):09}\t{kind}\t/\t{directory}\n"
    size = 1 + int(dice.expovariate(1 / 8)) if dice.random() < 0.999 else dice.randrange(4000)
    for at in range(size):
        name = f"{dice.choice(_WORDS)}-{at}{dice.choice(_ENDINGS)}"
        if dice.random() < 0.03:
            name = f"{dice.choice(_ODD)}{at}"
        head = f"{when + at}.{dice.randrange(10**9):09}\t"
        what = kind if kind != "M" else dice.choices("M+-R=", (60, 20, 15, 3, 2))[0]
        match what:
            case "R":
                yield f"{head}R\tF\t{directory}/{name}\t{directory}/new-{name}\n"
            case "=":
                yield f"{head}-\tF\t{directory}/{name}\n"
                yield f"{head}+\tF\t{directory}/{name}\n"
            case "M" if at % 50 == 0:
                yield f"{head}M\tF\t{directory}/{name}\t(+1)\n"
            case _:
                yield f"{head}{what}\tF\t{directory}/{name}\n"
