"""What becomes of an error that nobody expected: a file for the maintainers, a sentence for us."""

from __future__ import annotations

import platform
import time
import traceback
from pathlib import Path

from zrwizard import __version__
from zrwizard.run import state
from zrwizard.run.events import Exit
from zrwizard.run.outcome import Outcome
from zrwizard.secrets import Secrets


def outcome(error: BaseException, state_dir: Path, secrets: Secrets) -> Outcome:
    """Write the traceback, redacted, to a crash file; return the sentence that names it."""
    kind = type(error).__name__
    path = state_dir / f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{state.new_token()[:4]}.txt"
    text = (
        f"zrwizard {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n"
        + "".join(traceback.format_exception(error))
    )
    try:
        state.write_private(path, secrets.redact_text(text))
    except OSError as failure:
        return Outcome(
            Exit.FAILED,
            f"zrwizard met an error of its own ({kind}), and could not write it down: {failure}.",
            "Check that the state directory can be written (XDG_STATE_HOME).",
        )
    return Outcome(
        Exit.FAILED,
        f"zrwizard met an error of its own ({kind}); it is written down in {path}.",
        "Start again: what was proven is kept. Please report the file; it holds no secrets.",
    )
