"""A disk, geli and a pool in files: what the receiver and the trials call, as separate processes.

Its first argument is the tool (geli, geom, zpool, zfs); ZFSBOX names the directory of its state,
which is made by `make`. It follows facts C3 to C5 as far as the receiver and the trials go, and no
further: a stream is a line of JSON and the bytes of one file, which come and are kept one piece
after the other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

BOX = Path(os.environ.get("ZFSBOX", "/nonexistent"))
DISK, SERIAL, SIZE, POOL = "da0", "WX31", 1 << 40, "wd"
OTHER = "ada0p3.eli"
BASE = 1 << 20
PIECE = 65536

State = dict[str, Any]


def make(box: Path, key: bytes, *, vault: bool = True) -> None:
    """A box whose disk that key opens; the key itself is not in it."""
    for part in ("data", "bin", "dev"):
        (box / part).mkdir(parents=True)
    (box / "dev" / DISK).write_bytes(bytes(1 << 16))
    for tool in ("geli", "geom", "zpool", "zfs"):
        path = box / "bin" / tool
        path.write_text(
            f'#!/bin/sh\nZFSBOX={box} exec {sys.executable} -I -S {Path(__file__)} {tool} "$@"\n'
        )
        path.chmod(0o755)
    state: State = {
        "key": hashlib.sha256(key).hexdigest(),
        "vault": vault,
        "attached": False,
        "last": False,
        "imported": not vault,
        "datasets": {},
        "faults": [],
    }
    (box / "state").write_text(json.dumps(state))
    (box / "lock").touch()
    (box / "log").touch()


@contextmanager
def changed(box: Path = BOX) -> Iterator[State]:
    """The state, which nobody else changes meanwhile."""
    with (box / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = json.loads((box / "state").read_text())
        yield state
        new = box / "state.new"
        new.write_text(json.dumps(state))
        new.replace(box / "state")


def fail(text: str, status: int = 1) -> NoReturn:
    print(text, file=sys.stderr)
    raise SystemExit(status)


def options(words: list[str], valued: str) -> tuple[dict[str, list[str]], list[str]]:
    """getopt: the letters with their values, and what is left."""
    found: dict[str, list[str]] = {}
    rest = list(words)
    while rest and rest[0].startswith("-") and len(rest[0]) > 1:
        word = rest.pop(0)[1:]
        while word:
            letter, word = word[0], word[1:]
            if letter in valued:
                found.setdefault(letter, []).append(word or rest.pop(0))
                break
            found.setdefault(letter, [])
    return found, rest


# --- geli, geom, zpool --------------------------------------------------------------------------


def geli(verb: str, words: list[str]) -> None:
    match verb:
        case "status":
            short = words == ["-s"]
            rows = [(OTHER, "ACTIVE", "ada0p3")]
            with changed() as state:
                rows += [(f"{DISK}.eli", "ACTIVE", DISK)] if state["attached"] else []
            if not short:
                print("      Name  Status  Components")
            for row in rows:
                print("  ".join(row))
        case "attach":
            found, rest = options(words, "kj")
            key = (
                sys.stdin.buffer.read() if found["k"] == ["-"] else Path(found["k"][0]).read_bytes()
            )
            with changed() as state:
                if rest != [DISK] or state["attached"]:
                    fail(f"geli: Cannot access {rest} (error=1).")
                if hashlib.sha256(key).hexdigest() != state["key"]:
                    fail(
                        f"geli: Wrong key for {DISK}.\ngeli: There was an error with one provider."
                    )
                state["attached"], state["last"] = True, "d" in found
        case "detach":
            with changed() as state:
                if not state["attached"]:
                    fail(f"geli: No such device: {DISK}.")
                if state["imported"]:
                    fail(f"geli: Cannot destroy device {DISK}.eli (error=16).")
                if "stuck" in state["faults"]:
                    fail(f"geli: Cannot destroy device {DISK}.eli (error=16).")
                state["attached"] = False
        case _:
            fail(f"geli: Unknown command: {verb}.")


def geom() -> None:
    with changed() as state:
        there = "no disk" not in state["faults"]
    if there:
        print(f"Geom name: {DISK}\nProviders:\n1. Name: {DISK}\n   Mediasize: {SIZE} (1.0T)")
        print(f"   Sectorsize: 512\n   ident: {SERIAL}\n")


def zpool(verb: str, words: list[str]) -> None:
    _, rest = options(words, "oRd")
    with changed() as state:
        there = state["imported"]
        if verb == "list" and not rest:
            print(POOL if there else "no pools available")
            return
        if verb == "import":
            if there:
                fail(f"cannot import '{POOL}': a pool with that name already exists")
            if state["vault"] and not state["attached"]:
                fail(f"cannot import '{POOL}': no such pool available")
            state["imported"] = True
            return
        if rest != [POOL] or not there:
            fail(f"cannot open '{rest[-1]}': no such pool")
        match verb:
            case "list":
                print(allocated(state))
            case "status":
                health = "DEGRADED" if "ill" in state["faults"] else "ONLINE"
                print(f"  pool: {POOL}\n state: {health}")
            case "export":
                if any(alive(pid) for pid in state.get("receiving", [])):
                    fail(f"cannot export '{POOL}': pool is busy")
                for name in state["datasets"]:
                    unmount(state, name)
                state["imported"] = False
                if state["last"] and "stuck" not in state["faults"]:
                    state["attached"] = state["last"] = False
            case _:
                fail(f"zpool: {verb}: not here")


def allocated(state: State) -> int:
    return BASE + sum(file.stat().st_size for file in (BOX / "data").rglob("*") if file.is_file())


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


# --- zfs ----------------------------------------------------------------------------------------


def directory(name: str, part: str) -> Path:
    return BOX / "data" / name.replace("/", "%") / part


def dataset(state: State, name: str) -> State:
    if not state["imported"] or name not in state["datasets"]:
        fail(f"cannot open '{name}': dataset does not exist")
    return state["datasets"][name]  # type: ignore[no-any-return]


def unmount(state: State, name: str) -> None:
    """The mount point becomes the empty directory that it was."""
    one = state["datasets"][name]
    if one["mounted"]:
        place = Path(one["mounted"])
        place.unlink()
        place.mkdir(mode=0o700)
        one["mounted"] = ""


def zfs(verb: str, words: list[str]) -> None:
    if verb == "receive":
        receive(words)
        return
    if verb == "send":
        send(words)
        return
    found, rest = options(words, "oOtd")
    name = rest[-1]
    with changed() as state:
        if not state["imported"]:
            fail(f"cannot open '{name}': dataset does not exist")
        match verb:
            case "create":
                if name in state["datasets"]:
                    fail(f"cannot create '{name}': dataset already exists")
                props = dict(word.split("=", 1) for word in found.get("o", []))
                fresh(state, name, props)
            case "destroy":
                dataset(state, name)
                if "undead" in state["faults"]:
                    fail(f"cannot destroy '{name}': dataset is busy")
                unmount(state, name)
                shutil.rmtree(directory(name, "."))
                del state["datasets"][name]
            case "mount":
                mount(state, name, read_only=found.get("o") == ["ro"])
            case "unmount":
                dataset(state, name)
                unmount(state, name)
            case "set":
                prop, _, value = rest[0].partition("=")
                dataset(state, name)["props"][prop] = value
            case "snapshot":
                full, _, snap = name.partition("@")
                one = dataset(state, full)
                shutil.copytree(directory(full, "live"), directory(full, f"@{snap}"))
                one["snapshots"][snap] = str(secrets.randbits(63))
            case "get":
                get(state, found, rest)
            case "list":
                listing(state, found, name)
            case _:
                fail(f"zfs: {verb}: not here")


def fresh(state: State, name: str, props: dict[str, str]) -> None:
    state["datasets"][name] = {"props": props, "snapshots": {}, "mounted": "", "partial": None}
    directory(name, "live").mkdir(parents=True)


def mount(state: State, name: str, *, read_only: bool) -> None:
    one = dataset(state, name)
    place = Path(one["props"].get("mountpoint", "none"))
    if not place.is_absolute():
        fail(f"cannot mount '{name}': no mountpoint set")
    place.rmdir()
    place.symlink_to(directory(name, "live"))
    one["mounted"] = str(place)
    if "forgets" in state["faults"] and read_only:
        for file in directory(name, "live").iterdir():
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data)


def get(state: State, found: State, rest: list[str]) -> None:
    prop, name = rest
    full, _, snap = name.partition("@")
    if full == POOL:
        print("\n".join(f"{word}\t12345" for word in prop.split(",")))
        return
    one = dataset(state, full)
    if snap:
        if snap not in one["snapshots"]:
            fail(f"cannot open '{name}': dataset does not exist")
        print(one["snapshots"][snap])
    elif prop == "receive_resume_token":
        have = directory(full, "live") / "data"
        print(token(one["partial"], have.stat().st_size) if one["partial"] else "-")
    elif prop == "used":
        huge = (1 << 40) if "huge" in state["faults"] else 0
        print(huge + sum(file.stat().st_size for file in directory(full, ".").rglob("*")))
    else:
        fail(f"bad property list: invalid property '{prop}'")


def listing(state: State, found: State, name: str) -> None:
    if "t" in found:
        rows = [POOL, *state["datasets"]]
        rows += [f"{n}@{s}" for n, one in state["datasets"].items() for s in one["snapshots"]]
        for row in sorted(rows):
            print("\t".join([row, "filesystem", "1", "1", "1", "1", "1", "0"]))
        return
    dataset(state, name)
    print(name)


def token(partial: State, have: int) -> str:
    text = json.dumps({**partial, "have": have}).encode()
    return f"1-{hashlib.sha256(text).hexdigest()[:8]}-c8-{text.hex()}"


def send(words: list[str]) -> None:
    """The stream of a snapshot, or what is missing of one by its token."""
    found, rest = options(words, "t")
    with changed() as state:
        if "t" in found:
            if "no resume" in state["faults"]:
                fail("cannot resume send: kernel modules must be upgraded to use this token")
            partial = json.loads(bytes.fromhex(found["t"][0].rsplit("-", 1)[1]))
            name, offset = partial["from"], partial["have"]
        else:
            name, offset = rest[-1], 0
        full, _, snap = name.partition("@")
        guid = dataset(state, full)["snapshots"][snap]
        data = (directory(full, f"@{snap}") / "data").read_bytes()
    head = {"from": name, "guid": guid, "size": len(data), "have": offset}
    # Two sends of the same snapshot differ, as they may with ZFS.
    head["noise"] = secrets.token_hex(4)
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + data[offset:])


def receive(words: list[str]) -> None:
    found, rest = options(words, "o")
    name = rest[-1]
    if "A" in found:
        with changed() as state:
            if not dataset(state, name)["partial"]:
                fail(f"'{name}' does not have any resumable receive state to abort")
            shutil.rmtree(directory(name, "."))
            del state["datasets"][name]
        return
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            fail("cannot receive: failed to read from stream")
        line += byte
    head = json.loads(line)
    snap = head["from"].partition("@")[2]
    begin(name, head, resumable="s" in found)
    file = directory(name, "live") / "data"
    with file.open("ab") as out:
        while piece := os.read(0, PIECE):
            out.write(piece)
            out.flush()
    have = file.stat().st_size
    with changed() as state:
        state["receiving"] = []
        one = state["datasets"][name]
        one["partial"] = head if have < head["size"] else None
        if have < head["size"]:
            if "forgets token" in state["faults"]:
                one["partial"] = None
            text = "checksum mismatch or incomplete stream.\nPartially received snapshot is saved."
            fail_later = f"cannot receive new filesystem stream: {text}"
        else:
            shutil.copytree(directory(name, "live"), directory(name, f"@{snap}"))
            odd = "guid" in state["faults"]
            one["snapshots"][snap] = "1" if odd else head["guid"]
            fail_later = ""
    if fail_later:
        fail(fail_later)


def begin(name: str, head: State, *, resumable: bool) -> None:
    with changed() as state:
        if not state["imported"]:
            fail(f"cannot open '{name}': dataset does not exist")
        if head["have"]:
            one = dataset(state, name)
            if (
                not one["partial"]
                or directory(name, "live").joinpath("data").stat().st_size != head["have"]
            ):
                fail("cannot receive resume stream: destination does not contain partial state")
        elif name in state["datasets"]:
            fail(f"cannot receive new filesystem stream: destination '{name}' exists")
        else:
            fresh(state, name, {})
        if "deaf" in state["faults"]:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        state["datasets"][name]["partial"] = head
        state["receiving"] = [os.getpid()]


def main() -> None:
    tool, words = sys.argv[1], sys.argv[2:]
    with (BOX / "log").open("a") as log:
        log.write(f"{tool} {' '.join(words)}\n")
    match tool:
        case "geli":
            geli(words[0], words[1:])
        case "geom":
            geom()
        case "zpool":
            zpool(words[0], words[1:])
        case "zfs":
            zfs(words[0], words[1:])


if __name__ == "__main__":
    main()
