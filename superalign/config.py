"""Configuration: frozen, closed, one docstring a field; recipes and ``key=value`` overrides.

Every choice is a union discriminated on ``type``. The class defaults are the vetted setting, a recipe holds only what
differs, and ``config.build()`` is the whole factory. Nothing heavy is imported here, so a wrong recipe fails at once.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """Base of every configuration: frozen, closed, documented field by field."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True)
