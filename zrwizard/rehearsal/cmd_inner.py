"""What the virtual shell lacks: awk over a pipe that goes on, and the prompt's own helpers."""

from __future__ import annotations

import asyncio
import re
import shlex

from zrwizard.rehearsal.commands import TTY_TOKEN, Call, file_program, program
from zrwizard.rehearsal.errors import Fail
from zrwizard.rehearsal.process import interpreter


@program("awk")
async def awk(call: Call) -> int:
    """awk(1): the virtual shell's, run again over what has come so far while a pipe goes on."""
    operands = [a for a in call.args if not a.startswith("-")]
    script = " ".join(["awk", *map(shlex.quote, call.args)])
    data, shown = b"", 0
    streaming = False
    bash = interpreter(username="root", cwd=str(call.io.cwd), env=dict(call.io.env))
    for path, fs, read_only in call.machine.mounted_files():
        bash.mount(path, fs, read_only=read_only)

    async def again(stdin: bytes) -> int:
        nonlocal shown
        produced = bytearray()

        async def keep(piece: bytes) -> None:
            produced.extend(piece)

        async def feed(io: object) -> int:
            await io.stdout.write(stdin)  # type: ignore[attr-defined]
            return 0

        bash.add_command("__feed", feed)
        result = await bash.execute(
            f"__feed | {script}" if stdin or streaming else f"{script} </dev/null",
            stdout=keep,
            stderr=call.err,
        )
        await call.out(bytes(produced[shown:]))
        shown = max(shown, len(produced))
        return int(result.exit_code)

    if len(operands) > (0 if "-f" in call.args else 1) + _values(call.args):
        return await again(b"")
    while (piece := await call.chunk()) is not None:
        data += (
            call.session.tty is not None and piece.startswith(TTY_TOKEN) and (await call.typed())
        ) or piece
        try:
            async with asyncio.timeout(0.02):
                more = await call.chunk()
        except TimeoutError:
            streaming = True
            await again(data)
            continue
        if more is None:
            break
        data += more
    return await again(data)


def _values(args: list[str]) -> int:
    """Option arguments and assignments among the operands."""
    return sum(
        1
        for i, a in enumerate(args)
        if (i and args[i - 1] in ("-v", "-F", "-f"))
        or (re.match(r"^\w+=", a) and not (i and args[i - 1] == "-v"))
    )


@program("__log")
async def log_to(call: Call) -> int:
    """From here on the session's output goes to a file, as it comes."""
    call.write(call.args[0], b"")
    call.session.log = call.path(call.args[0])
    return 0


@file_program("umask")
async def umask(call: Call) -> int:
    """umask(1), which the virtual shell takes no notice of; it holds for the whole shell."""
    words = [a for a in call.args if not a.startswith("-")]
    if not words:
        await call.out(f"{call.session.umask:04o}\n")
        return 0
    try:
        call.session.umask = call.machine.umask = int(words[0], 8)
    except ValueError:
        raise Fail(f"umask: Illegal mode: {words[0]}\n", 2) from None
    return 0


@program("__status")
async def status(call: Call) -> int:
    """Give `$?` the value that it had on the line before."""
    return int(call.args[0])


@program("__report")
async def report(call: Call) -> int:
    """Tell the prompt how a line ended."""
    call.session.reported = list(call.args)
    return int(call.args[0])


@program("__tty_read")
async def tty_read(call: Call) -> int:
    """The terminal's part of `read`: assignments for the variables that are named."""
    names = [a for a in call.args if re.fullmatch(r"[A-Za-z_]\w*", a)] or ["REPLY"]
    tty = call.session.tty
    line = (await tty.readline()) if tty is not None else b""
    if not line:
        return 1
    text = line.decode("utf-8", "surrogateescape").rstrip("\n")
    words = text.split(None, len(names) - 1) if len(names) > 1 else [text.strip()]
    words += [""] * (len(names) - len(words))
    await call.out("; ".join(f"{n}={shlex.quote(w)}" for n, w in zip(names, words, strict=True)))
    return 0
