"""Policy: the weights a round improves, known by their content."""

from __future__ import annotations

import functools
import hashlib
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from superalign.artifacts import md5_of
from superalign.errors import PolicyError
from superalign.models import locate
from superalign.records import Record

Role = Literal["learner", "critic", "attacker"]
STORE = Path(".superalign/policies")
"""Where policies lie in a workspace, each in a folder named by its md5; MLflow's registry holds the durable copy."""
REFERENCE = "base.json"
"""In a policy's folder: the model that it is, or that its adapter lies over, which is not copied."""
COMMIT = re.compile(r"[0-9a-f]{40}")


class Base(BaseModel):
    """A model that a policy refers to."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    model: str
    """Folder, or hub id."""
    revision: str | None = None
    """Commit of a hub id, which says what its files are."""
    md5: str | None = None
    """``folder_md5`` of a folder."""

    @classmethod
    def of(cls, name: str, *, trust_remote_code: bool = False) -> Self:
        """The reference to a model as it is now."""
        folder = locate(name, trust_remote_code=trust_remote_code)
        if not Path(name).is_dir() and COMMIT.fullmatch(folder.name):
            return cls(model=name, revision=folder.name)
        return cls(model=Path(name).resolve().as_posix() if Path(name).is_dir() else name, md5=folder_md5(folder))

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What a policy's folder refers to; None where it holds whole weights."""
        try:
            return cls.model_validate_json((folder / REFERENCE).read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise PolicyError(f"{folder / REFERENCE} is no reference to a model: {error.errors()[0]['msg']}") from error

    def find(self) -> Path:
        """Its folder; PolicyError where it is missing, or holds another model than when it was referred to."""
        folder = locate(self.model, self.revision)
        if self.md5 is not None and (found := _unchanged(folder, _stamps(folder))) != self.md5:
            raise PolicyError(
                f"the model in {self.model} is another one than this workspace began with: md5 {found}, not {self.md5}; "
                "bring the old one back, or begin a new workspace"
            )
        return folder


class Policy(Record):
    """Weights in a folder, with their role: a whole model (config, safetensors, tokenizer), a LoRA adapter, or a reference to a model."""

    kind = "policies"
    role: Role
    """What it does in the loop."""
    path: str
    """Folder relative to the workspace."""
    md5: str
    """md5 over the names and md5s of the folder's files."""

    @classmethod
    def store(cls, role: Role, folder: Path) -> Self:
        """Moves a finished folder of the workspace into the store under the name of its content; PolicyError where it is no such folder."""
        if ".." in folder.parts or not folder.absolute().is_relative_to(Path.cwd()):
            raise PolicyError(f"{folder} lies outside the workspace, and a policy is moved into its store: copy the folder into it first")
        md5 = folder_md5(folder)
        target = STORE / md5
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                folder.rename(target)
            except OSError:
                if not target.is_dir():  # else somebody stored the same content meanwhile
                    raise
        return cls(role=role, path=target.as_posix(), md5=md5)

    def verify(self) -> Self:
        """Itself, if the folder is there and is what the md5 says, and so is the model it refers to; PolicyError otherwise."""
        repair = f"`superalign repair {self.path}`"
        if not Path(self.path).is_dir():
            raise PolicyError(f"the {self.role}'s weights are missing: {self.path}; bring them back with {repair}")
        found = folder_md5(Path(self.path))
        if found != self.md5:
            raise PolicyError(
                f"the {self.role}'s weights in {self.path} are corrupted: md5 {found}, not {self.md5}; bring them back with {repair}"
            )
        if (base := Base.read(Path(self.path))) is not None:
            base.find()
        return self


def folder_md5(folder: Path) -> str:
    """md5 over the sorted relative names and md5s of a folder's files; PolicyError if it holds neither safetensors nor a reference."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not any(path.suffix == ".safetensors" or path.name == REFERENCE for path in files):
        raise PolicyError(f"{folder} holds no .safetensors file; weights are read from safetensors only")
    listing = "\n".join(f"{path.relative_to(folder).as_posix()} {md5_of(path)}" for path in files)
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest()


def _stamps(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of change of a folder's files."""
    found = ((path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    return tuple((path.as_posix(), stat.st_size, stat.st_mtime_ns) for path, stat in found)


@functools.lru_cache(maxsize=64)
def _unchanged(folder: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    """``folder_md5``, worked out again only where a file has changed: a model of many gigabytes is looked at in every stage."""
    del stamps
    return folder_md5(folder)
