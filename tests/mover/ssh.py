"""A stand-in for ssh(1) to the machine `there`: real pipes that are cut or hang when told to.

`mode/cuts` has byte numbers, one a line: the next stream ends after the first of them, which is
then used up. `mode/hang` is such a number too: there the stream stops and nobody answers, until
the connection's master is ended. `mode/refuse` and `mode/hostkey` end every connection at once.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

WORLD = Path(os.environ["ZR_WORLD"])
MODE = WORLD / "mode"


def first(name):
    """The first line of a mode file, used up; None where there is none."""
    path = MODE / name
    lines = path.read_text().split() if path.exists() else []
    if not lines:
        return None
    path.write_text("\n".join(lines[1:]))
    return int(lines[0])


def die(text):
    sys.stderr.write(text + "\r\n")
    sys.exit(255)


def hang():
    while (MODE / "hung").exists():
        time.sleep(0.05)
    die("Timeout, server backup not responding.")


def control(words):
    if "-O" in words:
        verb = words[words.index("-O") + 1]
        if verb == "exit":
            (MODE / "hung").unlink(missing_ok=True)
            (MODE / "master").unlink(missing_ok=True)
        elif not (MODE / "master").exists():
            die("Control socket connect(/x/cm): No such file or directory")
        sys.exit(0)
    connect()
    (MODE / "master").touch()
    with (WORLD / "masters").open("a") as book:
        book.write("opened\n")
    sys.exit(0)


def connect():
    if (MODE / "hostkey").exists():
        die("@ REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.")
    if (MODE / "refuse").exists():
        die("root@backup: Permission denied (publickey,keyboard-interactive).")
    if (MODE / "down").exists():
        die("ssh: connect to host backup port 22: Connection refused")
    if (MODE / "hung").exists():
        hang()


def relay(source, sink, limit, stalls):
    """Passes bytes on; 0 at the end, 1 where the limit was reached."""
    passed = 0
    try:
        while piece := os.read(source, 16384):
            if limit is not None and passed + len(piece) >= limit:
                os.write(sink, piece[: limit - passed])
                passed = limit
                return 1
            os.write(sink, piece)
            passed += len(piece)
    finally:
        if not stalls:
            with (WORLD / "relayed").open("a") as book:
                book.write(f"{passed}\n")
    return 0


def main(words):
    if "-O" in words or "-fN" in words:
        control(words)
    at = words.index("backup")
    assert "BatchMode=yes" in words[:at]
    command = " ".join(words[at + 1 :])
    environ = {**os.environ, "ZR_SIDE": "there"}
    connect()
    sending = command.startswith("zfs send") and " -n " not in command
    receiving = command.startswith("zfs receive") and " -A " not in command
    if not sending and not receiving:
        sys.exit(subprocess.call(["sh", "-c", command], env=environ, stdin=subprocess.DEVNULL))
    cut, stall = first("cuts"), first("hang")
    limit = cut if cut is not None else stall
    pipes = {"stdout": subprocess.PIPE} if sending else {"stdin": subprocess.PIPE}
    child = subprocess.Popen(["sh", "-c", "exec " + command], env=environ, **pipes)
    try:
        if sending:
            cut_off = relay(child.stdout.fileno(), 1, limit, stall is not None)
        else:
            cut_off = relay(0, child.stdin.fileno(), limit, stall is not None)
            child.stdin.close()
    except BrokenPipeError:
        child.kill() if sending else child.stdin.close()
        sys.exit(child.wait() if receiving else 255)
    if not cut_off:
        sys.exit(child.wait())
    if stall is not None:
        (MODE / "hung").touch()
        hang()
    (MODE / "master").unlink(missing_ok=True)
    if sending:
        child.kill()
        child.wait()
    die("Connection to backup closed by remote host.")


main(sys.argv[1:])
