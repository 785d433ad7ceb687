"""A stand-in for ssh(1) to the machine `there`: real pipes that are cut or hang when told to.

`mode/cuts` has byte numbers, one a line: the next stream ends after the first of them, which is
then used up. `mode/hang` is such a number too: there the stream stops and nobody answers, until
the connection's master is ended; with `mode/still` all but that stream goes on. `mode/refuse` and
`mode/hostkey` end every connection at once.
"""

import fcntl
import os
import sys
import time

WORLD = os.environ["ZR_WORLD"]


def mode(name):
    return os.path.exists(f"{WORLD}/mode/{name}")


def clear(name):
    if mode(name):
        os.unlink(f"{WORLD}/mode/{name}")


def note(path, line):
    with open(f"{WORLD}/{path}", "a") as file:
        file.write(line)


def first(name):
    """The first line of a mode file, used up; None where there is none."""
    if not mode(name):
        return None
    with open(f"{WORLD}/mode/{name}", "r+") as file:
        # Lanes come at the same moment: unlocked, one reads what another has emptied.
        fcntl.flock(file, fcntl.LOCK_EX)
        lines = file.read().split()
        file.seek(0)
        file.truncate()
        file.write("\n".join(lines[1:]))
    return int(lines[0]) if lines else None


def die(text):
    sys.stderr.write(text + "\r\n")
    sys.exit(255)


def hang():
    while mode("hung"):
        time.sleep(0.05)
    die("Timeout, server backup not responding.")


def control(words):
    if "-O" in words:
        verb = words[words.index("-O") + 1]
        if verb == "exit":
            clear("hung")
            clear("master")
        elif not mode("master"):
            die("Control socket connect(/x/cm): No such file or directory")
        sys.exit(0)
    connect()
    note("mode/master", "1")
    note("masters", "opened\n")
    sys.exit(0)


def connect():
    if mode("hostkey"):
        die("@ REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.")
    if mode("refuse"):
        die("root@backup: Permission denied (publickey,keyboard-interactive).")
    if mode("down"):
        die("ssh: connect to host backup port 22: Connection refused")
    if mode("hung"):
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
            note("relayed", f"{passed}\n")
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
        os.execvpe("sh", ["sh", "-c", command], environ)  # noqa: S606
    import subprocess

    cut, stall, still = first("cuts"), first("hang"), first("still")
    stall = still if still is not None else stall
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
    while still is not None:
        time.sleep(1)
    if stall is not None:
        note("mode/hung", "1")
        hang()
    clear("master")
    if sending:
        child.kill()
        child.wait()
    die("Connection to backup closed by remote host.")


main(sys.argv[1:])
