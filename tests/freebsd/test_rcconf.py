"""rc.conf: what an edit says is what sh reads, and nothing else changes."""

from __future__ import annotations

import difflib
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.shlint import SHELL
from zrwizard.freebsd import ParseError, rcconf

PLAIN = """\
# /etc/rc.conf of knox
hostname="knox"
keymap=uk\t# a keyboard
ifconfig_em0='DHCP'
dumpdev="AUTO"  # Set dumpdev to "AUTO" to enable crash dumps

sshd_enable="NO"; ntpd_enable="NO"
"""


def read_by_sh(text: str, name: str) -> str | None:
    """What sh has in `name` after reading `text`; None where it is not set."""
    script = f'unset {name}\neval "$T" >/dev/null 2>&1\nprintf "%s" "${{{name}-unset by all}}"'
    done = subprocess.run(
        [SHELL, "-c", script],
        env={"T": text},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=10,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = done.stdout.decode()
    return None if answer == "unset by all" else answer


def changed(old: str, new: str) -> list[str]:
    rows = difflib.ndiff(old.splitlines(), new.splitlines())
    return [row for row in rows if row[0] in "+-"]


def test_only_what_is_asked_for_changes() -> None:
    new = rcconf.edit(PLAIN, {"dumpdev": "NO", "sshd_enable": "YES", "powerd_enable": "YES"})
    assert changed(PLAIN, new) == [
        '- dumpdev="AUTO"  # Set dumpdev to "AUTO" to enable crash dumps',
        '+ dumpdev="NO"  # Set dumpdev to "AUTO" to enable crash dumps',
        '- sshd_enable="NO"; ntpd_enable="NO"',
        '+ sshd_enable="YES"; ntpd_enable="NO"',
        '+ powerd_enable="YES"',
    ]
    assert rcconf.edit(new, {"dumpdev": "NO", "sshd_enable": "YES", "powerd_enable": "YES"}) == new


def test_what_is_so_already_is_left_as_it_is_written() -> None:
    assert rcconf.edit(PLAIN, {"keymap": "uk", "ifconfig_em0": "DHCP", "gone": None}) == PLAIN


def test_taken_out() -> None:
    assert changed(PLAIN, rcconf.edit(PLAIN, {"keymap": None})) == ["- keymap=uk\t# a keyboard"]
    assert 'sshd_enable="NO"; \n' in rcconf.edit(PLAIN, {"ntpd_enable": None})
    assert rcconf.edit('a=1\na="2"\nb=3\n', {"a": None}) == "b=3\n"
    assert rcconf.edit("a=1; a=2 b=3", {"a": None}) == "b=3"
    assert rcconf.edit('x="1\n2"\ny=1\n', {"x": None}) == "y=1\n"


def test_the_last_assignment_counts() -> None:
    assert rcconf.values('a=1\na="2"\n') == {"a": "2"}
    assert rcconf.edit("a=1\na=2\n", {"a": "1"}) == 'a=1\na="1"\n'


@pytest.mark.parametrize(
    "text",
    [
        "if true; then\n a=0\nfi\n",
        "a=1\ntrue && a=0\n",
        "a=1\ntrue &&\n a=0\n",
        "a=1\nf() { a=0; }\nf\n",
        "a=1\nexport a=0\n",
        "a=1\nfor a in 0; do :; done\n",
        'a=1\neval "a=0"\n',
        "a=1\ncase x in\n y) ;;\n *) a=0 ;;\nesac\n",
        "a=1\n(a=0)\n",
        "a=1\nunset a\n",
        "a=1\nread a </dev/null\n",
        "a=1 b=2 true\n",
        "a=1 true\n",
        "a=1 &\n",
        "a=$(echo 0)\n",
        "a=${a:-x}\n",
        "a=~\n",
        "a=1\necho \\\n",
        "a=1 # no end",
        "a=1; a=0",
        "#a=1\n",
        "a='1'\"2\"\\3\n",
        'a=1\nb="a=0\n"\n',
        "",
        "\n\n",
    ],
)
def test_sh_reads_what_was_written(text: str) -> None:
    new = rcconf.edit(text, {"a": 'it\'s $5, `x` and \\ "y"'})
    assert read_by_sh(new, "a") == 'it\'s $5, `x` and \\ "y"'
    assert rcconf.edit(new, {"a": 'it\'s $5, `x` and \\ "y"'}) == new
    kept = [line for line in text.splitlines() if "a=" not in line]
    assert [line for line in new.splitlines() if line in kept] == kept


@pytest.mark.parametrize(
    "text",
    [
        'a="x\n',
        "a='x\n",
        "a=$(x\n",
        "a=${x\n",
        "a=`x\n",
        "if true; then\n",
        "case x in\n",
        "f() {\n",
        "fi\n",
        "a=1 )\n",
        "a=1\ncat <<E\nx\nE\n",
        "true &&\n",
        "a=1 >\n",
        "a=\\",
        "a=\0\n",
    ],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        rcconf.edit(text, {"b": "1"})
    with pytest.raises(ParseError):
        rcconf.values(text)


def test_what_cannot_be_taken_out_is_refused() -> None:
    with pytest.raises(ParseError):
        rcconf.edit("if x; then a=1; fi\n", {"a": None})


@pytest.mark.parametrize(("name", "value"), [("a b", "x"), ("", "x"), ("a", "x\ny"), ("a", "\x1b")])
def test_what_it_cannot_hold(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        rcconf.edit("", {name: value})


def test_values_that_only_sh_knows() -> None:
    text = "a=$x\nb=1\nexport b\nc=1\nif x; then c=2; fi\nd='1 2'\n"
    assert rcconf.values(text) == {"a": None, "b": "1", "c": None, "d": "1 2"}


PIECES = st.sampled_from(
    [
        "a=1",
        "a='x y'",
        'a="p$HOME"',
        "b=2",
        "a=",
        "true",
        "; ",
        "\n",
        "\n",
        " ",
        " && ",
        " || ",
        "# c",
        "if true; then ",
        "; fi",
        "\nfi\n",
        "f() { a=3; }",
        "\nf\n",
        "{ ",
        "; }",
        "(",
        ")",
        "\\\n",
        "'",
        '"',
        "`",
        "$(true)",
        "export a=4",
        ": ",
        "for a in 1 2; do :; done",
        "case a in a) a=9;; esac",
        "while false; do a=1; done",
        ">/dev/null",
        "!",
    ]
)
SCRIPTS = st.lists(PIECES, max_size=9).map("".join)


@given(text=st.one_of(SCRIPTS, st.text(max_size=60)), value=st.sampled_from(["YES", "", "a$b`"]))
@example(text="a=1\\\n", value="YES")
@example(text="true &&\n", value="YES")
@settings(max_examples=250, deadline=None)
def test_nothing_but_parse_error_and_idempotent(text: str, value: str) -> None:
    for wanted in (value, None):
        try:
            new = rcconf.edit(text, {"a": wanted})
        except ParseError as failure:
            assert failure.tool == "rc.conf"  # noqa: PT017
            continue
        assert rcconf.edit(new, {"a": wanted}) == new
        if wanted is None:
            assert "a" not in rcconf.values(new)
        else:
            assert rcconf.values(new)["a"] == wanted


@given(text=SCRIPTS)
@settings(max_examples=120, deadline=None)
def test_what_sh_takes_it_reads_as_edited(text: str) -> None:
    taken = subprocess.run([SHELL, "-n"], input=text.encode(), capture_output=True, check=False)
    try:
        new = rcconf.edit(text, {"a": "new"})
    except ParseError:
        return
    if taken.returncode == 0:
        assert read_by_sh(new, "a") == "new"
