"""The laws of the registry."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from superalign.errors import DataError, LedgerError, PolicyError
from superalign.journal import Change, RoundRecord
from superalign.policy import folder_md5
from tasks import register, store, track
from tasks.register import Provenance
from tests.ledgers import Toy

FIRST = Provenance(round=0, recipe="bootstrap", critic=1, data="d" * 32 + ".dir", artifacts={"evaluate": "e" * 32}, git="abc", flow="f")


@pytest.fixture
def run(ledgers: Path) -> str:
    return track.open_round(0, "{}")


def test_registering_twice_gives_one_version(run: str, toy: Toy) -> None:
    policy = toy("learner", 1)
    first = register.register(policy, run, FIRST.model_copy(update={"data": None}))
    assert register.register(policy, run, FIRST).version == first.version == 1
    assert register.versions("learner") == [register.version("learner", 1)]
    assert register.version("learner", 1).data == FIRST.data


def test_a_version_says_where_it_comes_from(run: str, toy: Toy) -> None:
    policy = toy("learner", 1)
    made = register.register(policy, run, FIRST)
    assert Provenance.model_validate(made.model_dump(include=set(Provenance.model_fields))) == FIRST
    assert (made.name, made.policy, made.run, made.aliases) == ("learner/1", policy, run, ("candidate",))
    tags = store.client().get_model_version("learner", "1").tags
    assert tags["superalign.policy"] == policy.md5
    assert tags["superalign.artifacts"] == '{"evaluate": "' + "e" * 32 + '"}'


def test_the_same_weights_in_another_round_are_another_version_of_one_copy(run: str, toy: Toy) -> None:
    policy = toy("critic", 1)
    first = register.register(policy, run, FIRST)
    second = register.register(policy, run, FIRST.model_copy(update={"round": 1}))
    assert (first.version, second.version) == (1, 2)
    assert first.place == second.place


def test_registering_leaves_the_rounds_run_as_it_was(run: str, toy: Toy) -> None:
    register.register(toy("learner", 1), run, FIRST)
    assert store.client().get_run(run).info.status == "RUNNING"


def test_nobody_is_champion_before_the_alias_moves(run: str, toy: Toy) -> None:
    with pytest.raises(LedgerError, match="superalign bootstrap"):
        register.champion("learner")
    learner = register.register(toy("learner", 1), run, FIRST)
    critic = register.register(toy("critic", 2), run, FIRST)
    register.set_champion(learner, critic)
    assert register.champion("learner").aliases == ("candidate", "champion")
    assert register.champion("critic").policy.md5 == critic.policy.md5


def test_aliases_move_together_or_not_at_all(run: str, toy: Toy) -> None:
    learners = [register.register(toy("learner", number), run, FIRST) for number in (1, 2)]
    critics = [register.register(toy("critic", number), run, FIRST) for number in (3, 4)]
    register.set_champion(learners[0], critics[0])
    with pytest.raises(KeyboardInterrupt), register.moving([learners[1], critics[1]], {"superalign.note": "x"}):
        raise KeyboardInterrupt
    assert (register.champion("learner").version, register.champion("critic").version) == (1, 1)
    assert "superalign.note" not in store.client().get_model_version("learner", "2").tags
    register.set_champion(learners[1], critics[1])
    assert (register.champion("learner").version, register.champion("critic").version) == (2, 2)


def test_mlflow_holds_a_copy_that_brings_the_same_bytes_back(run: str, toy: Toy) -> None:
    policy = toy("learner", 1)
    before = {path.name: path.read_bytes() for path in Path(policy.path).iterdir()}
    register.register(policy, run, FIRST)
    (Path(policy.path) / "model.safetensors").write_bytes(b"garbage")
    assert register.restore_policy(policy.md5) == policy
    assert {path.name: path.read_bytes() for path in Path(policy.path).iterdir()} == before
    shutil.rmtree(policy.path)
    assert folder_md5(Path(register.restore_policy(policy.md5).path)) == policy.md5


def test_a_corrupted_copy_is_not_brought_back(run: str, toy: Toy) -> None:
    policy = toy("learner", 1)
    made = register.register(policy, run, FIRST)
    (Path(made.place) / "config.json").write_text("{}")
    with pytest.raises(PolicyError, match="corrupted as well"):
        register.restore_policy(policy.md5)
    policy.verify()
    with pytest.raises(PolicyError, match="no registered version"):
        register.restore_policy("0" * 32)


def test_weights_are_looked_at_by_size_where_hashing_would_take_long(run: str, toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    made = register.register(toy("learner", 1), run, FIRST)
    weights = [Path(folder, "model.safetensors") for folder in (made.policy.path, made.place)]
    for file in weights:
        file.write_bytes(bytes(file.stat().st_size))
    with pytest.raises(PolicyError, match="learner/1"):
        register.restorable(made)
    monkeypatch.setattr(register, "HASHED", 1000)
    register.restorable(made)
    for file in weights:
        file.write_bytes(b"")
    with pytest.raises(PolicyError, match="learner/1"):
        register.restorable(made)


def test_mlflow_can_load_what_is_registered(run: str, toy: Toy) -> None:
    register.register(toy("learner", 1), run, FIRST)
    import mlflow

    loaded = mlflow.transformers.load_model("models:/learner/1", return_type="components")
    assert loaded["model"].config.hidden_size == 16


def test_asking_imports_no_ledgers_library(run: str, toy: Toy) -> None:
    register.set_champion(register.register(toy("learner", 1), run, FIRST))
    program = "import sys; from tasks import register; register.champion('learner'); print({'mlflow', 'dvc', 'prefect'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize("name", ["learner", "learner/x", "learner/-1", "teacher/1", "", "learner/\u0663", f"learner/{'9' * 5000}"])
def test_a_name_that_is_no_version_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="learner/2"):
        register.parse(name)


def test_a_version_that_is_not_there_is_refused_with_those_that_are(run: str, toy: Toy) -> None:
    with pytest.raises(DataError, match="none yet"):
        register.version("learner", 1)
    register.register(toy("learner", 1), run, FIRST)
    with pytest.raises(DataError, match="versions 1 to 1"):
        register.version("learner", 2)


def test_where_rounds_are_finished_an_empty_registry_is_a_lost_one(ledgers: Path) -> None:
    change = Change(before="learner/1")
    record = RoundRecord(round=0, parent=None, recipe="default", config={}, code="", learner=change, critic=change).save()
    with pytest.raises(LedgerError, match="superalign bootstrap"):
        register.champion("learner")
    record.model_copy(update={"status": "finished"}).save()
    with pytest.raises(LedgerError, match=r"mlruns/mlflow\.db.*from a backup"):
        register.champion("learner")
    with pytest.raises(LedgerError, match=r"mlruns/mlflow\.db.*from a backup"):
        register.version("learner", 1)
