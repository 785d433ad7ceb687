"""What a person typed stands in the transcript only as far as the machine showed it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zrwizard.console.echoes import Echoes, asks_for_secret


def told(*steps: tuple[str, bytes]) -> bytes:
    notes: list[bytes] = []
    echoes = Echoes(notes.append)
    for kind, data in steps:
        match kind:
            case "types":
                echoes.typed(data, secret=False)
            case "secret":
                echoes.typed(data, secret=True)
            case _:
                echoes.shown(data)
    echoes.settle(at_once=True)
    return b"".join(notes)


def test_a_command_is_noted_with_its_echo() -> None:
    steps = [("types", b"l"), ("shows", b"l"), ("types", b"s"), ("types", b"\r")]
    assert told(*steps, ("shows", b"s\r\nfile\r\n# ")) == b"ls\r"


def test_what_has_no_echo_is_not_shown() -> None:
    typed = [("types", bytes([byte])) for byte in b"hunter2"]
    assert told(*typed, ("types", b"\r"), ("shows", b"\r\n# ")) == b"<not shown>\r"


def test_an_echo_at_a_password_prompt_is_not_believed() -> None:
    assert told(("secret", b"h"), ("shows", b"h"), ("types", b"\r")) == b"<not shown>\r"


def test_kernel_messages_are_no_echo() -> None:
    typed = [("types", bytes([byte])) for byte in b"em0"]
    assert told(*typed, ("shows", b"\r\num0: link"), ("types", b"\x03")) == b"<not shown>\x03"


def test_keys_without_a_glyph_are_noted_at_once() -> None:
    assert told(("types", b"\x1b[A"), ("types", b"\x03"), ("types", b"\x1bOP")) == (
        b"\x1b[A\x03\x1bOP"
    )


def test_prompts_for_secrets() -> None:
    for line in ("Password:", "Enter passphrase: ", "root@h's password: ", "PIN: ", "OTP:"):
        assert asks_for_secret(line)
    for line in ("# ", "login: ", "Console type [vt100]: ", "spinning: ", "# passwd root"):
        assert not asks_for_secret(line)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20))
def test_nothing_of_an_unechoed_line_is_noted(text: str) -> None:
    secret = text.encode()
    typed = [("types", secret[at : at + 1]) for at in range(len(secret))]
    assert told(*typed, ("types", b"\r"), ("shows", b"\r\n")) == b"<not shown>\r"
