"""The sh text that replaces a text file on the target: the same words in a run and in a script."""

from __future__ import annotations

from pathlib import PurePosixPath

from zrwizard.cksum import cksum
from zrwizard.freebsd import sh
from zrwizard.plan import Edit

OTHERWISE = 3
"""The status of `script` where the file is not what it was; nothing was written then."""


def script(edit: Edit) -> str:
    """Return sh text that does `edit`; it may be run any number of times.

    A file that holds the new text already only gets its mode. One that is neither the old text nor
    the new, or no plain file, ends it with status `OTHERWISE` and a sentence. The old file is
    copied first (`cp -p`), to the next free name where something else has the backup's; the new one
    is written beside it, with its owner, compared, and moved into its place.
    """
    path, new = sh.quote(edit.path), sh.quote(beside(edit.path))
    wanted = _sum(edit.content)
    lines = [
        _refuse(f"[ -L {path} ]", f"{edit.path} is a symbolic link."),
        _refuse(f"[ -e {path} ] && [ ! -f {path} ]", f"{edit.path} is no plain file."),
        f"sum() {{ cksum < {path}; }}",
        f"if [ -e {path} ] && [ \"$(sum)\" = '{wanted}' ]; then",
        *_mode(edit, path),
        f"  echo {sh.quote(f'{edit.path} is so already')}; exit 0",
        "fi",
        *(_new_file(edit, path, new) if edit.was is None else _old_file(edit, path, new)),
        here(new, edit.content),
        f"{_chmod(edit, new)}sync && mv -f {new} {path} || exit 1",
        f"[ \"$(sum)\" = '{wanted}' ]",
    ]
    return "\n".join(lines)


def _mode(edit: Edit, path: str) -> list[str]:
    if edit.mode is None:
        return []
    return [
        f'  if [ -z "$(find {path} -prune -perm {edit.mode:o})" ]; then',
        f"    chmod {edit.mode:o} {path} || exit 1",
        "  fi",
    ]


def _chmod(edit: Edit, new: str) -> str:
    # A copy of the old file has its mode already.
    return "" if edit.mode is None else f"chmod {edit.mode:o} {new} && "


def beside(path: str) -> str:
    """Return the name under which a file for `path` is written before it is moved there."""
    whole = PurePosixPath(path)
    return str(whole.with_name(f".{whole.name}.zr-new"))


def _new_file(edit: Edit, path: str, new: str) -> list[str]:
    there = f"{edit.path} is there, and was not when the plan was made."
    return [_refuse(f"[ -e {path} ]", there), f"rm -f {new} || exit 1"]


def _old_file(edit: Edit, path: str, new: str) -> list[str]:
    backup = sh.quote(edit.backup)
    other = f"{edit.path} is not the text that it was when the plan was made."
    return [
        _refuse(f"[ ! -e {path} ]", f"{edit.path} is not there any more."),
        _refuse(f"[ \"$(sum)\" != '{_sum(edit.was or '')}' ]", other),
        f"b={backup} n=0",
        f'while [ -e "$b" ] && ! cmp -s {path} "$b"; do n=$((n+1)); b={backup}.$n; done',
        f'[ -e "$b" ] || cp -p {path} "$b" || exit 1',
        'echo "the old one is kept as $b"',
        # A copy has the owner of the old file, whoever that is.
        f"rm -f {new} && cp -p {path} {new} || exit 1",
    ]


def _refuse(condition: str, sentence: str) -> str:
    return f"if {condition}; then echo {sh.quote(sentence)} >&2; exit {OTHERWISE}; fi"


def here(where: str, content: str) -> str:
    """Return text that writes `content` to the file that the sh word `where` names, or exits 1."""
    if not content.endswith("\n"):
        return f"printf %s {sh.quote(content)} > {where} || exit 1"
    end = "END_OF_FILE"
    while end in content.splitlines():
        end += "_"
    # `if` lets the command go on behind the here-document.
    return f"if ! cat > {where} <<'{end}'\n{content}{end}\nthen exit 1; fi; true"


def _sum(text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    return f"{cksum(data)} {len(data)}"
