"""The tree of changes in the forms that other programs and people read; see docs of each."""

from __future__ import annotations

from collections.abc import Iterator

from zrwizard.preview.tree import Tree


def to_json_lines(tree: Tree) -> Iterator[str]:
    """Yield one JSON object a changed path, each with its newline, in the tree's order."""
    raise NotImplementedError


def to_csv(tree: Tree) -> Iterator[str]:
    """Yield CSV (RFC 4180) line by line, with a header."""
    raise NotImplementedError


def to_markdown(tree: Tree, paths: int = 200) -> Iterator[str]:
    """Yield a summary by directory and the first `paths` changed paths, line by line."""
    raise NotImplementedError
