"""A stand-in for zfs(8) whose pools are files: real bytes, real tokens, real partial state.

Run as a program: ZR_WORLD is a directory, ZR_SIDE the machine in it. `SIDE/pool.json` has the
datasets, `SIDE/data/GUID` what a received snapshot holds, `SIDE/part/...` an unfinished stream.
`mode/WORD` makes it behave badly. Its words are those of facts B4, B6 and C5. It is started some
thousand times, so it imports little.
"""

import fcntl
import json
import os
import sys
import time
from _random import Random
from contextlib import contextmanager

WORLD = os.environ["ZR_WORLD"]
NAME = os.environ["ZR_SIDE"]
SIDE = f"{WORLD}/{NAME}"
BLOCK = 16384
PULSE = 0.05


def read(path, missing=None):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return missing


def note(book, line):
    """One more line in a file that the tests read."""
    with open(f"{WORLD}/{book}", "a") as file:
        file.write(line + "\n")


def mode(word):
    return read(f"{WORLD}/mode/{word}")


def fail(text, status=1):
    sys.stderr.write(text + "\n")
    sys.exit(status)


def load():
    return json.loads(read(f"{SIDE}/pool.json"))


@contextmanager
def changing():
    """The datasets, to be changed by one process at a time."""
    with open(f"{SIDE}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pool = load()
        yield pool
        with open(f"{SIDE}/pool.new", "w") as new:
            json.dump(pool, new)
        os.replace(f"{SIDE}/pool.new", f"{SIDE}/pool.json")


def content(guid, size):
    """What the snapshot with that guid adds to its dataset."""
    return Random(guid).getrandbits(8 * size).to_bytes(size, "little")


def part(name):
    return f"{SIDE}/part/" + name.replace("/", "%")


def token(name, dataset):
    partial = dataset.get("partial")
    if not partial:
        return "-"
    offset = len(read(part(name), b"")) // BLOCK * BLOCK
    return "1-" + json.dumps({**partial, "offset": offset}).encode().hex()


def need(pool, name):
    if name not in pool:
        fail(f"cannot open '{name}': dataset does not exist")
    return pool[name]


def listing(options, name):
    pool = load()
    need(pool, name)
    deep = "-r" in options
    rows = []
    for one, dataset in pool.items():
        below = one.startswith(name + "/")
        if one == name or (below and (deep or "/" not in one[len(name) + 1 :])):
            rows.append((dataset["txg"], one, dataset["guid"], token(one, dataset)))
        if one == name or (below and deep):
            for snap in dataset["snaps"]:
                rows.append((snap["txg"], f"{one}@{snap['tag']}", snap["guid"], "-"))
    for _, *row in sorted(rows):
        print(*row, sep="\t")


def used(name):
    dataset = need(load(), name)
    now = len(read(part(name), b""))
    print(sum(snap["size"] for snap in dataset["snaps"]) + now)


# --- send ---------------------------------------------------------------------------------------


def records(pool, name, tag, sub="", *, base, every, origin):
    """The snapshots that a stream holds, each with what it builds upon."""
    snaps = need(pool, name)["snaps"]
    tags = [snap["tag"] for snap in snaps]
    if tag not in tags:
        fail(f"cannot open '{name}@{tag}': dataset does not exist")
    last = tags.index(tag)
    first = 0 if every else last
    before = 0
    if base is not None:
        if base not in tags:
            fail(f"incremental source (@{base}) does not exist")
        first = tags.index(base) + 1 if every else last
        before = snaps[tags.index(base)]["guid"]
    elif origin:
        there, _, its = origin.partition("@")
        before = next(s["guid"] for s in need(pool, there)["snaps"] if s["tag"] == its)
    for snap in snaps[first : last + 1]:
        yield {
            "sub": sub,
            "toguid": snap["guid"],
            "toname": f"{name}@{snap['tag']}",
            "tag": snap["tag"],
            "fromguid": before,
            "clone": bool(origin) and base is None,
            "size": snap["size"],
            "offset": 0,
        }
        before = snap["guid"]


def resumed(pool, text):
    head = json.loads(bytes.fromhex(text.removeprefix("1-")))
    name, _, tag = head["toname"].partition("@")
    found = [s for s in pool.get(name, {"snaps": []})["snaps"] if s["tag"] == tag]
    if not found:
        fail(f"cannot resume send: '{head['toname']}' used in the initial send no longer exists")
    if found[0]["guid"] != head["toguid"]:
        fail(
            f"cannot resume send: '{head['toname']}' is no longer the same snapshot used in the "
            "initial send"
        )
    return head


def send(words):
    pool = load()
    options, base, every, tree = [], None, False, False
    origin = resume = None
    while words[0].startswith("-"):
        option = words.pop(0)
        if option in ("-i", "-I"):
            every = option == "-I"
            text = words.pop(0)
            if text.startswith("@"):
                base = text[1:]
            else:
                origin = text
        elif option == "-t":
            resume = words.pop(0)
            break
        else:
            tree = tree or option == "-R"
            options.append(option)
    if resume:
        heads = [resumed(pool, resume)]
    else:
        name, _, tag = words[0].partition("@")
        heads = []
        for one in sorted(pool) if tree else [name]:
            if one == name or one.startswith(name + "/"):
                sub = one[len(name) :]
                heads += records(pool, one, tag, sub, base=base, every=every or tree, origin=origin)
    for head in heads:
        head |= {"options": options, "resumed": bool(resume)}
    left = sum(head["size"] - head["offset"] for head in heads)
    out = sys.stdout if "-n" in options else sys.stderr
    if resume:
        head = heads[0]
        print("resume token contents:\nnvlist version: 0", file=out)
        print("\tobject = 0x2", f"\toffset = {head['offset']:#x}", sep="\n", file=out)
        print(
            f"\tbytes = {head['offset']:#x}", f"\ttoguid = {head['toguid']:#x}", sep="\n", file=out
        )
        print(f"\ttoname = {head['toname']}", file=out)
    for head in heads:
        print("full", head["toname"], head["size"] - head["offset"], sep="\t", file=out)
    print("size", left, sep="\t", file=out, flush=True)
    if "-n" not in options:
        pour(heads)


def pour(heads):
    for head in heads:
        note("sends", json.dumps(head))
    pace = float(mode("pace") or 0)
    told = time.monotonic()
    for head in heads:
        sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
        data = content(head["toguid"], head["size"])
        for at in range(head["offset"], head["size"], BLOCK):
            sys.stdout.buffer.write(data[at : at + BLOCK])
            sys.stdout.buffer.flush()
            time.sleep(pace)
            if time.monotonic() - told > PULSE:
                told = time.monotonic()
                sent = min(at + BLOCK, head["size"]) - head["offset"]
                print(time.strftime("%H:%M:%S"), sent, head["toname"], sep="\t", file=sys.stderr)
                sys.stderr.flush()
        sys.stdout.buffer.flush()


# --- receive ------------------------------------------------------------------------------------


def receive(words):
    target = words[-1]
    if "-A" in words:
        with changing() as pool:
            dataset = need(pool, target)
            if not dataset.pop("partial", None):
                fail(f"'{target}' does not have any resumable receive state to abort")
            if not dataset["snaps"] and "/" in target:
                del pool[target]
            os.unlink(part(target))
        note("abandoned", target)
        return
    with open(f"{part(target)}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fail(f"cannot receive: destination {target}: dataset is busy")
        line = sys.stdin.buffer.readline()
        if not line:
            fail("cannot receive: failed to read from stream")
        while line:
            take(json.loads(line), target, words)
            line = sys.stdin.buffer.readline()


def check(pool, head, name, force):
    """What zfs receive says before it takes a byte; returns the action in its words."""
    new = f"cannot receive {'incremental' if head['fromguid'] else 'new filesystem'} stream: "
    dataset = pool.get(name)
    if head["resumed"]:
        return "cannot receive resume stream: "
    if dataset and dataset.get("partial"):
        fail(f'{new}destination {name} contains partially-complete state from "zfs receive -s".')
    if head["clone"] or not head["fromguid"]:
        if dataset and not force:
            fail(f"{new}destination '{name}' exists\nmust specify -F to overwrite it")
        if dataset and dataset["snaps"]:
            fail(
                f"{new}destination has snapshots (eg. {name}@x)\nmust destroy them to overwrite it"
            )
        if "/" in name and name.rpartition("/")[0] not in pool:
            fail(f"{new}parent '{name.rpartition('/')[0]}' is not a filesystem")
        guids = [snap["guid"] for one in pool.values() for snap in one["snaps"]]
        if head["clone"] and head["fromguid"] not in guids:
            fail(f"{new}local origin for clone {name}@{head['tag']} does not exist")
    elif not dataset:
        fail(f"{new}destination '{name}' does not exist")
    elif not dataset["snaps"] or dataset["snaps"][-1]["guid"] != head["fromguid"]:
        fail(f"{new}most recent snapshot of {name} does not\nmatch incremental source")
    elif dataset.get("large") and not large(head):
        fail(
            f"{new}incremental send stream requires -L (--large-block), to match previous receive."
        )
    return new


def large(head):
    return any("L" in option for option in head["options"])


def take(head, target, words):
    name, keep, force = target + head["sub"], "-s" in words, "-F" in words
    with changing() as pool:
        says = check(pool, head, name, force)
        if keep:
            txg = 1 + len(pool)
            dataset = pool.setdefault(name, {"guid": txg, "txg": txg, "snaps": []})
            held = read(part(name))[: head["offset"]] if head["resumed"] else b""
            with open(part(name), "wb") as file:
                file.write(held)
            dataset["partial"] = {**head, "resumed": False, "offset": 0, "options": []}
    if head["resumed"] and mode("stuck"):
        sys.stdin.buffer.read()
        fail(says + "checksum mismatch")
    data, missing = bytearray(), head["size"] - head["offset"]
    room = mode("space")
    out = open(part(name), "ab") if keep else None  # noqa: SIM115
    while missing:
        piece = sys.stdin.buffer.read1(min(missing, BLOCK))
        if not piece:
            if out:
                out.close()
                text = token(name, load()[name])
                fail(
                    f"{says}checksum mismatch or incomplete stream.\nPartially received snapshot "
                    "is saved.\nA resuming stream can be generated on the sending system by "
                    f"running:\n    zfs send -t {text}"
                )
            fail(says + "incomplete stream")
        if room is not None and int(room) < len(data) + len(piece):
            fail(says + "out of space")
        missing -= len(piece)
        data += piece
        if out:
            out.write(piece)
            out.flush()
    if out:
        out.close()
        data = read(part(name))
        os.unlink(part(name))
    with open(f"{SIDE}/data/{head['toguid']}", "wb") as file:
        file.write(data)
    with changing() as pool:
        dataset = pool.setdefault(name, {"guid": len(pool) + 1, "txg": len(pool) + 1, "snaps": []})
        dataset.pop("partial", None)
        txg = 1000 + sum(len(one["snaps"]) for one in pool.values())
        snap = {"tag": head["tag"], "guid": head["toguid"], "size": head["size"], "txg": txg}
        dataset["snaps"].append(snap)
        dataset["large"] = large(head) or dataset.get("large", False)
        if head["clone"]:
            dataset["origin"] = head["fromguid"]


# --- the rest -----------------------------------------------------------------------------------


def main(verb, words):
    note("calls", json.dumps([NAME, verb, *words]))
    match verb, words:
        case "list", ["-Hp", *options, name]:
            listing(options, name)
        case "list", ["-H", "-o", "name", name]:
            need(load(), name)
            print(name)
        case "get", ["-Hp", "-o", "value", "used", name]:
            used(name)
        case "send", _:
            send(words)
        case "receive", _:
            receive(words)
        case "rename", [old, new]:
            with changing() as pool:
                need(pool, old)
                for one in [n for n in pool if n == old or n.startswith(old + "/")]:
                    pool[new + one[len(old) :]] = pool.pop(one)
        case "destroy", ["-r", name]:
            with changing() as pool:
                need(pool, name)
                for one in [n for n in pool if n == name or n.startswith(name + "/")]:
                    del pool[one]
        case _:
            fail(f"unrecognized command '{verb}'", 2)


try:
    main(sys.argv[1], sys.argv[2:])
    sys.stdout.flush()
except BrokenPipeError:
    os.close(1)
    fail("warning: cannot send 'stream': Broken pipe")
