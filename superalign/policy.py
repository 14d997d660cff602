"""Policy: the weights a round improves, known by their content."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, Self

from superalign.artifacts import md5_of
from superalign.errors import PolicyError
from superalign.records import Record

Role = Literal["learner", "critic", "attacker"]
STORE = Path(".superalign/policies")
"""Where policies lie in a workspace, each in a folder named by its md5; MLflow's registry holds the durable copy."""


class Policy(Record):
    """A model in a folder (config, safetensors, tokenizer) or a hub id, with its role."""

    kind = "policies"
    role: Role
    """What it does in the loop."""
    path: str
    """Folder relative to the workspace."""
    md5: str
    """md5 over the names and md5s of the folder's files."""

    @classmethod
    def store(cls, role: Role, folder: Path) -> Self:
        """Moves a finished folder into the store under the name of its content."""
        md5 = folder_md5(folder)
        target = STORE / md5
        if not target.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(target)
        return cls(role=role, path=target.as_posix(), md5=md5)

    def verify(self) -> Self:
        """Itself, if the folder is there and is what the md5 says; PolicyError otherwise."""
        repair = f"`superalign repair {self.path}`"
        if not Path(self.path).is_dir():
            raise PolicyError(f"the {self.role}'s weights are missing: {self.path}; bring them back with {repair}")
        found = folder_md5(Path(self.path))
        if found != self.md5:
            raise PolicyError(
                f"the {self.role}'s weights in {self.path} are corrupted: md5 {found}, not {self.md5}; bring them back with {repair}"
            )
        return self


def folder_md5(folder: Path) -> str:
    """md5 over the sorted relative names and md5s of a folder's files; PolicyError if it holds no safetensors."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not any(path.suffix == ".safetensors" for path in files):
        raise PolicyError(f"{folder} holds no .safetensors file; weights are read from safetensors only")
    listing = "\n".join(f"{path.relative_to(folder).as_posix()} {md5_of(path)}" for path in files)
    return hashlib.md5(listing.encode(), usedforsecurity=False).hexdigest()
