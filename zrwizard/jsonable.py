"""Dataclasses to JSON-able data and back, by their type hints; for facts kept as data.

Arrays are of unsigned 64-bit numbers, and the keys of mappings are texts.
"""

from __future__ import annotations

import types
from array import array
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints


def dump(value: Any) -> Any:
    """Return `value` as dicts, lists, strings, numbers, booleans and None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: dump(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, frozenset):
        return sorted(dump(item) for item in value)
    if isinstance(value, tuple | list | array):
        return [dump(item) for item in value]
    if isinstance(value, Mapping):
        return {key: dump(item) for key, item in value.items()}
    return value


def load(kind: Any, data: Any) -> Any:
    """Return the value of type `kind` that `dump` wrote. ValueError where it does not fit."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _load_union(get_args(kind), data)
    if origin in (dict, Mapping):
        return _load_dict(get_args(kind), data)
    if kind is array:
        return array("Q", data)
    if origin in (tuple, list, frozenset):
        if not isinstance(data, list):
            raise ValueError(f"a list was expected, not {data!r}")
        return _load_list(origin, get_args(kind), data)
    if isinstance(kind, type) and is_dataclass(kind):
        return _load_record(kind, data)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    if type(data) is not kind:
        raise ValueError(f"{kind.__name__} was expected, not {data!r}")
    return data


def _load_union(kinds: tuple[Any, ...], data: Any) -> Any:
    if data is None and type(None) in kinds:
        return None
    for kind in kinds:
        try:
            return load(kind, data)
        except (ValueError, TypeError):
            continue
    raise ValueError(f"none of the possible types fits {data!r}")


def _load_list(origin: Any, kinds: tuple[Any, ...], data: list[Any]) -> Any:
    if origin is frozenset:
        return frozenset(load(kinds[0], item) for item in data)
    if origin is list:
        return [load(kinds[0], item) for item in data]
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(load(kinds[0], item) for item in data)
    return tuple(load(kind, item) for kind, item in zip(kinds, data, strict=True))


def _load_dict(kinds: tuple[Any, ...], data: Any) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"a table was expected, not {data!r}")
    return {load(kinds[0], key): load(kinds[1], item) for key, item in data.items()}


def _load_record(kind: type[Any], data: Any) -> Any:
    if not isinstance(data, dict):
        raise ValueError(f"{kind.__name__} was expected, not {data!r}")
    hints = _hints(kind)
    unknown = data.keys() - hints.keys()
    if unknown:
        raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    try:
        return kind(**{name: load(hints[name], item) for name, item in data.items()})
    except TypeError as error:
        raise ValueError(str(error)) from None


def _hints(kind: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
