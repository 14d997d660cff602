"""Configuration: frozen, closed, one docstring a field; recipes and ``key=value`` overrides.

Every choice is a union discriminated on ``type``. The class defaults are the vetted setting, a recipe holds only what
differs, and ``config.build()`` is the whole factory. Nothing heavy is imported here, so a wrong recipe fails at once.
"""

from __future__ import annotations

import difflib
import os
import re
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from superalign.errors import ConfigError
from superalign.settings import read_file, read_pair, short

PLAIN = {"tuple_type": "give a list", "model_type": "give a mapping", "model_attributes_type": "give a mapping"}
"""What is said of a value in whose place Python would have a tuple or an object."""


class Config(BaseModel):
    """Base of every configuration: frozen, closed, documented field by field."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False)


C = TypeVar("C", bound=Config)
Where = tuple[str | int, ...]


def load(model: type[C], recipe: str, overrides: Sequence[str] = (), folder: Path | None = None) -> C:
    """The configuration of a recipe, with the ``key=value`` overrides over it, over the class's defaults.

    Args:
        model: Class to fill.
        recipe: Path of a YAML file, or the name of one in ``folder``.
        overrides: For example ``learner.epochs=2`` or ``attackers.1.replay=0.2``.
        folder: Where named recipes lie.

    Raises:
        ConfigError: With the path of the first wrong setting, what was found there, and the nearest valid name.
    """
    file = find(recipe, folder)
    settings = merge(model().model_dump(mode="json"), read_file(file))
    if "recipe" in model.model_fields:
        settings["recipe"] = file.stem
    return fill(model, settings, f"recipe {recipe}", overrides)


def override(config: C, overrides: Sequence[str]) -> C:
    """A configuration with ``key=value`` overrides over it; ConfigError as ``load`` raises."""
    return fill(type(config), config.model_dump(mode="json"), type(config).__name__, overrides)


def fill(model: type[C], settings: Any, what: str, overrides: Sequence[str] = ()) -> C:
    """The configuration that settings from ``what`` make, with overrides over them: the whole before its parts, a type before the rest."""
    for path, value in sorted(map(read_pair, overrides), key=lambda pair: (len(pair[0]), pair[0][-1] != "type")):
        settings = _put(settings, path, value)
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(f"{what}: {explain(model, settings, error)}") from error


def find(recipe: str, folder: Path | None) -> Path:
    """The file of a recipe."""
    if recipe.endswith((".yaml", ".yml")) or "/" in recipe:
        if not os.path.isfile(recipe):  # noqa: PTH113 - where it is too long for a path, Path.is_file raises
            raise ConfigError(f"there is no recipe file {recipe!r}; give the path of a YAML file, or the name of a recipe")
        return Path(recipe)
    names = sorted(path.stem for path in folder.glob("*.yaml")) if folder else []
    if folder is None or recipe not in names:
        raise ConfigError(f"no recipe is called {recipe!r}{nearest(recipe, names)}")
    return folder / f"{recipe}.yaml"


def merge(under: Any, over: Any) -> Any:
    """``over`` laid over ``under``, mapping by mapping; another ``type`` begins from that type's own defaults."""
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    if "type" in over and over["type"] != under.get("type"):
        return over
    return {**under, **{key: merge(under.get(key), value) for key, value in over.items()}}


def explain(model: type[BaseModel], settings: Any, error: ValidationError) -> str:
    """The first error in words: the path of the setting, what was found, and the nearest valid name or the limit."""
    first = error.errors(include_url=False)[0]
    path, owners = _follow(model, settings, first["loc"])
    where, found = ".".join(map(str, path)), first["input"]
    if first["type"] == "extra_forbidden":
        names = [name for owner in owners for name in owner.model_fields]
        return f"{where} is no setting (found {short(found)}){nearest(str(path[-1]), names)}"
    if first["type"].startswith("union_tag"):
        found = found.get("type") if isinstance(found, dict) else found
        return f"{where}.type cannot be {short(found)}{nearest(str(found), _tags(owners, path[-1]))}"
    if first["type"] == "literal_error":
        words = [word.strip("'") for word in re.split(", | or ", first["ctx"]["expected"])]
        return f"{where} cannot be {short(found)}{nearest(str(found), words)}"
    if first["type"] == "missing":
        return f"{where} is missing; give it with {where}=..."
    why = PLAIN.get(first["type"], first["msg"].removeprefix("Value error, "))
    why = f"{why[:1].lower()}{why[1:]}"
    return f"{where} cannot be {short(found)}: {why}" if where else why


def nearest(word: str, names: Iterable[str]) -> str:
    """What a message says of the valid names: the nearest, or all of them."""
    known = sorted(set(names))
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; there is {', '.join(known)}" if known else ""


def _put(settings: Any, path: Sequence[str], value: Any, above: str = "") -> Any:
    """``settings`` with ``value`` at ``path``; lists are entered by index."""
    if not path:
        return merge(settings, value)
    head, here = path[0], f"{above}{path[0]}"
    if isinstance(settings, list):
        if not head.isdecimal() or int(head) >= len(settings):
            raise ConfigError(f"{here} is no setting: {above.rstrip('.')} has the entries 0 to {len(settings) - 1}")
        index = int(head)
        return [*settings[:index], _laid(settings[index], path[1:], value, here), *settings[index + 1 :]]
    inside = settings if isinstance(settings, dict) else {}
    return {**inside, head: _laid(inside.get(head), path[1:], value, here)}


def _laid(known: Any, path: Sequence[str], value: Any, here: str) -> Any:
    return merge(known, {"type": value}) if tuple(path) == ("type",) else _put(known, path, value, f"{here}.")


def _follow(model: type[BaseModel], settings: Any, loc: Sequence[str | int]) -> tuple[Where, list[type[BaseModel]]]:
    """The path a person would write for pydantic's ``loc``, which names union members too, and the classes that own its last part."""
    path: Where = ()
    owners: list[type[BaseModel]] = [model]
    for index, part in enumerate(loc):
        if isinstance(settings, dict) and part not in settings and settings.get("type") == part:
            continue
        path = (*path, part)
        if index == len(loc) - 1:
            break
        owners = [inner for owner in owners for inner in _inner(owner, part)]
        settings = _inside(settings, part)
        if isinstance(settings, dict) and "type" in settings:
            owners = [owner for owner in owners if settings["type"] in _literals(owner, "type")] or owners
    return path, owners


def _inside(settings: Any, part: str | int) -> Any:
    if isinstance(settings, dict):
        return settings.get(part)
    return settings[part] if isinstance(settings, list) and isinstance(part, int) and part < len(settings) else None


def _inner(owner: type[BaseModel], part: str | int) -> list[type[BaseModel]]:
    """The configuration classes a field may hold; the owner itself for an index, whose field was entered before."""
    if isinstance(part, int):
        return [owner]
    field = owner.model_fields.get(part)
    return [leaf for leaf in _leaves(field.annotation) if isinstance(leaf, type) and issubclass(leaf, BaseModel)] if field else []


def _leaves(annotation: Any) -> list[Any]:
    inner = [arg for arg in typing.get_args(annotation) if arg is not Ellipsis]
    return [leaf for arg in inner for leaf in _leaves(arg)] if inner else [annotation]


def _literals(owner: type[BaseModel], part: str | int) -> list[str]:
    field = owner.model_fields.get(str(part))
    return [leaf for leaf in _leaves(field.annotation) if isinstance(leaf, str)] if field else []


def _tags(owners: Iterable[type[BaseModel]], part: str | int) -> list[str]:
    return [tag for owner in owners for inner in _inner(owner, part) for tag in _literals(inner, "type")]
