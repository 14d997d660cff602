"""Settings as people write them: YAML files and ``key=value`` pairs, read as if their author were hostile."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from superalign.errors import ConfigError

MAX_BYTES = 64 * 1024
"""Largest recipe file."""
MAX_DEPTH = 12
"""Deepest nesting in a recipe."""
SHOWN = 60
"""Characters of a wrong value that a message shows."""
ODD = re.compile(r"[-+]?0[0-9a-z_]|.*:")
"""Numbers that only YAML 1.1 takes for some: ``0100`` is 64 there, ``1:30`` is 90."""


class _Loader(yaml.SafeLoader):
    """YAML's plain types, no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key, (place, _) in zip(keys, node.value, strict=True):
            if not isinstance(key, str):
                raise yaml.YAMLError(f"line {place.start_mark.line + 1}: the key {short(key)} is not a name")
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"line {place.start_mark.line + 1}: {key} is there twice")
        return super().construct_mapping(node, deep=deep)


def _number(read: Callable[[_Loader, yaml.ScalarNode], Any], loader: _Loader, node: yaml.ScalarNode) -> Any:
    return node.value if ODD.match(node.value) else read(loader, node)


# What is no plain number stays the text it is, `yes` and `no` too: the field it is for says what it means, and a number is none of them.
_Loader.add_constructor("tag:yaml.org,2002:bool", lambda _, node: node.value)
_Loader.add_constructor("tag:yaml.org,2002:int", partial(_number, _Loader.construct_yaml_int))
_Loader.add_constructor("tag:yaml.org,2002:float", partial(_number, _Loader.construct_yaml_float))


def read_file(file: Path) -> dict[str, Any]:
    """The settings in a file; ConfigError where it is too large, not a mapping, or holds tags, aliases or endless nesting."""
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror}); name another") from error
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{file} is longer than {MAX_BYTES} bytes; a recipe holds only what differs from the defaults")
    try:
        found = read_text(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{file} is not YAML that a recipe can be read from: {short(' '.join(str(error).split()), 300)}") from error
    if found is not None and not isinstance(found, dict):
        raise ConfigError(f"{file} holds {short(found)}; a recipe is a mapping of settings, for example `num_queries: 500`")
    return found or {}


def read_pair(override: str) -> tuple[tuple[str, ...], Any]:
    """``learner.epochs=2`` as path and value; the value is read as YAML's scalars and flow collections are."""
    key, equals, text = override.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise ConfigError(f"{override!r} is no override; write key=value, for example learner.epochs=2")
    if len(path) > MAX_DEPTH:
        raise ConfigError(f"{short(key)} is nested deeper than any setting")
    try:
        return path, read_text(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{key} cannot be {short(text)}: it is not a value that YAML can read") from error


def read_text(text: str | bytes) -> Any:
    """Plain values from YAML; yaml.YAMLError or ValueError where they are not plain."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.YAMLError(f"line {line}: anchors and aliases are not allowed")
        if tag := getattr(event, "tag", None):
            raise yaml.YAMLError(f"line {line}: tags are not allowed, found {tag}")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise yaml.YAMLError(f"line {line}: nested deeper than {MAX_DEPTH} levels")
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - it derives from SafeLoader


def short(value: object, limit: int = SHOWN) -> str:
    """A value as a message shows it, cut where it is long."""
    text = value if isinstance(value, str) and limit != SHOWN else repr(value)
    return text if len(text) <= limit else f"{text[:limit]}..."
