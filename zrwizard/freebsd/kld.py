"""kldload(8), kldstat(8), kenv(1): kernel modules and the kernel's environment."""

from __future__ import annotations

from . import sh


def load(module: str) -> str:
    """Command: load a module; succeeds where it is loaded already (-n, facts C6)."""
    return sh.command("kldload", "-n", module)


def is_loaded(module: str) -> str:
    """Command: succeeds if the module is loaded; prints nothing."""
    return sh.command("kldstat", "-q", "-m", module)


def kernel_variable(name: str) -> str:
    """Command: one kernel variable such as smbios.system.serial; fails where it is missing."""
    return sh.command("kenv", "-q", name)
