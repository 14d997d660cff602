"""Lineage: from a version back to the first one, and from a training row back to the seed query. It reads and never writes.

Everything comes from MLflow's registry, the journal and artifacts known by their md5; those of a round that was rolled back are read
from DVC's cache. No ledger's library is imported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, TypeVar

from superalign import journal
from superalign.artifacts import Artifact
from superalign.errors import DataError
from superalign.journal import Entry, RoundRecord
from superalign.records import Critique, Example, Label, Quarantined, Query, Record, Response, Verdict
from tasks import register, version
from tasks.register import Registered

if TYPE_CHECKING:
    from rich.tree import Tree

R = TypeVar("R", bound=Record)

FIRST = ("validate", "quarantine", "curate")
"""Where a training row is looked for: what was trained on, what was kept out, and what either was chosen from."""
SEEDS = ("queries", "added.queries")
"""Inputs of a round that queries descend from; the held-out ones beside them are never opened."""


class Node(Entry):
    """A version, where it comes from and what became of it."""

    version: str
    """For example ``learner/4``."""
    policy: str
    """md5 of the weights."""
    parent: str | None
    """Version it was made from."""
    critic: str | None
    """Of a learner: the critic's version that belongs to it."""
    aliases: tuple[str, ...]
    """``champion``, ``candidate``."""
    round: int
    """Round that made it."""
    recipe: str
    """Recipe of that round."""
    created: str
    """When, UTC."""
    artifacts: dict[str, str]
    """Stage -> md5 of its artifact."""
    inputs: dict[str, str]
    """What the round read beside earlier rounds: name -> md5."""
    data: str | None
    """DVC hash of data/ after the round."""
    git: str | None
    """Git commit."""
    prefect: str | None
    """Prefect's flow-run id."""
    mlflow: str
    """MLflow's run."""
    benchmark: journal.Comparison | None
    """Held-out accuracy before and after the round."""
    promoted: bool | None
    """Whether it became champion when it was made; None where the journal does not say."""
    gates: tuple[Verdict, ...]
    """Every check of its round."""
    rollbacks: dict[str, str]
    """Rollbacks to it: when -> from where, by whom and why."""


class Lineage(Entry):
    """A version and all it descends from."""

    version: str
    """What was asked for."""
    line: tuple[Node, ...]
    """The version, its parent, and so on to the first."""
    critics: tuple[Node, ...]
    """The critics that belong to them, newest first."""


class Asked(Entry):
    """A query and the round it was asked in."""

    round: int | None
    """Its round; None for a seed that was not asked itself."""
    query: Query
    """The query."""


class Answer(Entry):
    """A response and all that was said of it."""

    round: int
    """Its round."""
    response: Response
    """The response."""
    critiques: tuple[Critique, ...]
    """What the critics said."""
    labels: tuple[Label, ...]
    """What people said."""
    learner: str | None
    """Version that wrote it."""


class Trace(Entry):
    """A row and all it comes from."""

    round: int
    """Where it was looked for."""
    example: Example | None
    """The training row; None where a response or a query was asked for."""
    chosen: Answer | None
    """The answer that was chosen, or was asked for."""
    rejected: Answer | None
    """The answer that was rejected."""
    origin: Artifact | None
    """The file a person's own example was read from."""
    line: tuple[Asked, ...]
    """The query, its parent, and so on to the seed."""


def lineage(name: str) -> Lineage:
    """A version with its ancestors and their critics. DataError if there is no such version."""
    role, number = register.parse(name)
    asked = register.version(role, number)
    known = {registered.version: registered for registered in register.versions(role)}
    line = [asked]
    while (parent := line[-1].parent) is not None and parent in known:
        line.append(known[parent])
    wanted = {registered.critic for registered in line}
    critics = [critic for critic in register.versions("critic") if critic.version in wanted]
    return Lineage(version=name, line=tuple(map(_node, line)), critics=tuple(map(_node, reversed(critics))))


def trace(number: int, identity: str) -> Trace:
    """A training row, response or query of a round, back to its critiques, response, query, parent query and seed.

    Raises:
        DataError: The round has no such row.
        ArtifactError: A file on the way is neither in the workspace nor in DVC's cache.
    """
    line = journal.line(number)[::-1]
    if not line:
        raise DataError(f"there is no round {number}; `superalign rounds` lists those there are")
    record = line[0]
    kinds: dict[str, type[Example]] = {stage: Quarantined if stage == "quarantine" else Example for stage in FIRST}
    for stage, kind in kinds.items():
        for example in _rows(record, stage, kind, "id", {identity}):
            return Trace(
                round=number,
                example=_plain(example),
                chosen=_answer(line, example.chosen_response),
                rejected=_answer(line, example.rejected_response),
                origin=_origin(record, example),
                line=tuple(_ancestors(line, example.query)),
            )
    answer = _answer(line[:1], identity)
    if asked := tuple(_ancestors(line, answer.response.query if answer else identity)):
        return Trace(round=number, example=None, chosen=answer, rejected=None, origin=None, line=asked)
    raise DataError(
        f"round {number} has no training row, response or query with the id {identity}; `superalign show {number}` lists its rows"
    )


def tree(found: Lineage) -> Tree:
    """The lineage as people read it in a terminal: plain text, in which no reason somebody gave is markup or moves the cursor."""
    from rich.text import Text
    from rich.tree import Tree

    def plain(line: str) -> Text:
        return Text("".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in line))

    critics = {node.version: node for node in found.critics}
    root = branch = Tree(plain(_title(found.line[0])))
    for index, node in enumerate(found.line):
        if index:
            branch = branch.add(plain(f"from {_title(node)}"))
        for line in _facts(node):
            branch.add(plain(line))
        if node.critic in critics:
            critic = branch.add(plain(f"critic {_title(critics[node.critic])}"))
            for line in _facts(critics[node.critic]):
                critic.add(plain(line))
    return root


def _node(registered: Registered) -> Node:
    record = journal.read(registered.round)
    change = getattr(record, registered.role, None)
    return Node(
        version=registered.name,
        policy=registered.policy.md5,
        parent=f"{registered.role}/{registered.parent}" if registered.parent else None,
        critic=f"critic/{registered.critic}" if registered.critic else None,
        aliases=registered.aliases,
        round=registered.round,
        recipe=registered.recipe,
        created=registered.created,
        artifacts=registered.artifacts,
        inputs={name: artifact.md5 for name, artifact in record.inputs.items()} if record else {},
        data=registered.data,
        git=registered.git,
        prefect=registered.flow,
        mlflow=registered.run,
        benchmark=record.benchmark if record else None,
        promoted=change.promoted if change else None,
        gates=record.gates if record else (),
        rollbacks=registered.notes,
    )


def _rows(record: RoundRecord, stage: str, kind: type[R], column: str, values: Collection[str]) -> Iterator[R]:
    if (artifact := record.artifacts.get(stage)) is not None:
        yield from read(artifact, kind, column, values)


def read(artifact: Artifact, kind: type[R], column: str, values: Collection[str]) -> Iterator[R]:
    """Rows of an artifact whose ``column`` is one of ``values``, wherever its bytes still are: in the workspace or in DVC's cache."""
    found = artifact.model_copy(update={"path": version.locate(artifact.path, artifact.md5).as_posix()})
    yield from (kind.model_validate(row) for row in found.where(column, values))


def _answer(line: list[RoundRecord], identity: str | None) -> Answer | None:
    """A response of any of the rounds: a row may be trained on for several."""
    for record in line if identity is not None else ():
        for response in _rows(record, "respond", Response, "id", {str(identity)}):
            critiques = tuple(_rows(record, "critique", Critique, "response", {response.id}))
            labels = tuple(_rows(record, "oversee", Label, "response", {response.id}))
            return Answer(round=record.round, response=response, critiques=critiques, labels=labels, learner=_wrote(response.policy))
    return None


def _ancestors(line: list[RoundRecord], identity: str | None) -> Iterator[Asked]:
    """A query, its parents and its seed, across the rounds."""
    seen: set[str] = set()
    while identity is not None and identity not in seen and (asked := _asked(line, identity)) is not None:
        yield asked
        seen.add(identity)
        parent, seed = asked.query.parent, asked.query.seed
        identity = parent if parent is not None else seed


def _asked(line: list[RoundRecord], identity: str) -> Asked | None:
    for record in line:
        for query in _rows(record, "attack", Query, "id", {identity}):
            return Asked(round=record.round, query=query)
    for record in line:
        for artifact in (record.inputs[name] for name in SEEDS if name in record.inputs):
            for query in read(artifact, Query, "id", {identity}):
                return Asked(round=None, query=query)
    return None


def _origin(record: RoundRecord, example: Example) -> Artifact | None:
    """The file a person's own example was read from."""
    given = (artifact for artifact in record.inputs.values() if artifact.record == Example.kind)
    return next((artifact for artifact in given if any(read(artifact, Example, "id", {example.id}))), None)


def _wrote(md5: str) -> str | None:
    return next((registered.name for registered in register.versions("learner") if registered.policy.md5 == md5), None)


def _plain(example: Example) -> Example:
    return Example.model_validate(example.model_dump(include=set(Example.model_fields)))


def _title(node: Node) -> str:
    marks = "".join(f" [{alias}]" for alias in node.aliases)
    return f"{node.version}{marks}  round {node.round} ({node.recipe}), {node.created}"


def _facts(node: Node) -> Iterator[str]:
    if node.benchmark is not None:
        yield f"held-out accuracy {node.benchmark.before.mean:.3f} -> {node.benchmark.after.mean:.3f}"
    failed = [gate.name for gate in node.gates if not gate.passed]
    if node.gates:
        yield f"{len(node.gates)} checks, " + (f"failed: {', '.join(failed)}" if failed else "all passed")
    yield f"weights {node.policy}"
    if node.data:
        yield f"data {node.data}"
    for stage, md5 in node.artifacts.items():
        yield f"  {stage} {md5}"
    yield ", ".join(f"{name} {value}" for name, value in (("git", node.git), ("prefect", node.prefect), ("mlflow", node.mlflow)) if value)
    for when, note in node.rollbacks.items():
        yield f"rolled back to {when} {note}"
