"""Detached jobs: they live without the line, and leave log, pid and rc behind (daemon(8))."""

from __future__ import annotations

from zrwizard.shell.api import Job


def wrapper(where: str, script: str) -> str:
    """Return the file that runs `script` and keeps its pid, its log and its status."""
    return (
        f"cd {where} || exit 1\n"
        "echo $$ > pid\n"
        "(\n"
        f"{script}\n"
        ") > log 2>&1 < /dev/null\n"
        "echo $? > rc.new && mv rc.new rc\n"
    )


def start(where: str) -> str:
    """Return the command that starts the file `run` in `where`, in a session of its own."""
    return (
        f"cd {where} || exit 1\n"
        f"if command -v daemon >/dev/null 2>&1; then daemon -f sh {where}/run\n"
        "elif command -v setsid >/dev/null 2>&1; then setsid sh run </dev/null >/dev/null 2>&1 &\n"
        "else nohup sh run </dev/null >/dev/null 2>&1 &\n"
        "fi\n"
        "for i in 1 2 3 4 5 6 7 8 9 10; do [ -s pid ] && exit 0\n"
        "sleep 0.2 2>/dev/null || sleep 1; done; exit 1"
    )


def look(where: str) -> str:
    """Return the command whose output `parse` reads."""
    return (
        f"cd {where} 2>/dev/null && [ -e run ] || {{ echo none; exit 0; }}\n"
        'p=$(cat pid 2>/dev/null); z=$(ps -o stat= -p "$p" 2>/dev/null)\n'
        "if [ -s rc ]; then echo ended $(cat rc)\n"
        'elif [ "${z#Z}" = "$z" ] && kill -0 "$p" 2>/dev/null; then echo runs\n'
        "elif [ -s rc ]; then echo ended $(cat rc)\n"
        "else echo lost; fi"
    )


def stop(where: str) -> str:
    """Return the command that ends the job and all that it has started; quiet where it is gone."""
    return (
        f"cd {where} 2>/dev/null && [ -s pid ] || exit 0\n"
        # Without `--`, which dash and busybox refuse here.
        "p=$(cat pid); kill -TERM -$p 2>/dev/null || kill -TERM $p 2>/dev/null; exit 0"
    )


def parse(text: str) -> Job:
    """Return what `look` said."""
    match text.split():
        case ["ended", status] if status.isdigit():
            return Job(known=True, running=False, status=int(status))
        case ["runs"]:
            return Job(known=True, running=True, status=None)
        case ["lost"]:
            return Job(known=True, running=False, status=None)
        case _:
            return Job(known=False, running=False, status=None)
