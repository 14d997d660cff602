"""The law of the recipes for real models: each runs whole on real data, with weights of the same family that are only small."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from superalign.artifacts import Artifact, md5_of
from superalign.critics.lessons import lessons
from superalign.domains import Gsm8kConfig
from superalign.learners import SftConfig
from superalign.models import blank
from superalign.policy import Policy
from superalign.records import Example
from superalign.tables import rows
from tests.conftest import DATA
from tests.flows.conftest import Toy

pytestmark = [pytest.mark.slow, pytest.mark.data]

SMALL = [
    "domain.num_held_out=6",
    "num_queries=48",
    "sampling.num_samples=2",
    "sampling.max_tokens=24",
    "evaluation.num_samples=2",
    "evaluation.max_tokens=24",
    "evaluation.num_attacks=4",
    "learner.batch_size=8",
    "curator.keep=0",
    "validation.min_examples=1",
    "validation.max_quarantine=1",
    "validation.max_category_share=1",
]
DATA_OF = {
    "gsm8k-dpo": ["domain.path=gsm8k"],
    "debate": ["domain.path=gsm8k"],
    "cross-examine": ["domain.path=gsm8k"],
    "generative-verifier": ["domain.path=gsm8k", "critic.votes=2", "num_lessons=16", "critic_learner.batch_size=8"],
    "constitution": ["domain.path=xstest"],
    "decompose": ["domain.path=gsm8k"],
    "critic-gpt": ["domain.path=gsm8k", "critic.num_samples=2", "num_lessons=16", "critic_learner.batch_size=8"],
    "code-sft": ["domain.path=mbpp", "domain.held_out=train"],
    "instructions-dpo": ["domain.path=ifeval"],
    "safety": ["domain.path=xstest", "engine.type=transformers"],
    "chat": ["domain.path=mt_bench", "domain.seeds=question", "domain.held_out=question"],
}
STAGES = ["attack", "respond", "critique", "oversee", "curate", "validate", "learn", "evaluate", "promote"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A learner and a critic, Qwen2.5's of a few hundred thousand weights, which have learnt how an answer or a critique ends."""
    folder, here = tmp_path_factory.mktemp("models"), Path.cwd()
    os.chdir(folder)
    torch.set_num_threads(1)
    task = Gsm8kConfig(path=str(DATA / "gsm8k"), num_seeds=120).build()
    shown = [row.model_copy(update={"prompt": row.prompt[:60], "chosen": row.chosen.splitlines()[-1]}) for row in task.demonstrations()]
    said = lessons(task, 120, random.Random(0))
    taught = [row.model_copy(update={"chosen": row.chosen.splitlines()[-1]}) for row in said]
    start = Policy.store("learner", blank(folder / "blank", [row.prompt + row.chosen for row in (*shown, *taught)], 0))
    config = SftConfig(learning_rate=1e-2, epochs=4, batch_size=8, warmup_steps=5)
    for role, examples in (("learner", shown), ("critic", taught)):
        data = Artifact.write(f"{role}.parquet", Example, {row.id: row for row in examples}.values())
        policy, _ = config.build().learn(start, data, folder / f"work-{role}", 0, "")
        Path(policy.path).rename(folder / role)
    os.chdir(here)
    return folder


@pytest.mark.parametrize("recipe", sorted(DATA_OF))
def test_a_recipe_for_real_models_runs_whole_on_small_ones(recipe: str, models: Path, tmp_path: Path, server: str) -> None:
    toy = Toy(tmp_path / "work", server)
    toy.folder.mkdir()
    path, *rest = DATA_OF[recipe]
    given = [path.replace("=", f"={DATA}/", 1), *rest, f"learner.model={models / 'learner'}", f"critic.model={models / 'critic'}"]
    done = toy.call("run", recipe, *SMALL, *given, "critic.max_tokens=24", "--json")
    assert done.returncode in (0, 3), done.stderr
    base, made = toy.json("rounds")["rounds"]
    assert (base["status"], made["status"]) == ("finished", "finished"), done.stderr
    assert list(made["seconds"]["stages"]) == STAGES
    answers = pq.read_table(toy.folder / made["artifacts"]["respond"]["path"]).to_pylist()
    assert {(row["engine"].split()[0], row["template"] is not None) for row in answers} == {("transformers", True)}
    assert {row["sampling"] for row in answers} == {"temperature=%s top_p=1 max_tokens=24" % ("0.9" if recipe == "chat" else "0.8")}
    before, after = (toy.record(1)["policies"][name] for name in ("learner", "learner_after"))
    assert before["md5"] != after["md5"]
    held = {path.name for path in (toy.folder / before["path"]).iterdir()}
    assert held == {"base.json"}


def test_recorded_answers_of_three_real_models_go_through_a_whole_round_with_their_lineage(tmp_path: Path, server: str) -> None:
    toy = Toy(tmp_path / "work", server)
    toy.folder.mkdir()
    recorded = record(toy.folder / "outputs.jsonl")
    words = [
        "num_queries=1300",
        "domain.num_held_out=20",
        "evaluation.num_attacks=10",
        "evaluation.max_tokens=16",
        "evaluation.num_samples=2",
    ]
    given = [f"domain.path={DATA}/gsm8k", f"engine.path={recorded}", "sampling.max_tokens=16", *words]
    done = toy.call("run", "gsm8k-replay", *given, "--json")
    assert done.returncode in (0, 3), done.stderr
    _, made = toy.json("rounds")["rounds"]
    assert (made["status"], list(made["seconds"]["stages"])) == ("finished", STAGES)
    responses = pq.read_table(toy.folder / made["artifacts"]["respond"]["path"]).to_pylist()
    author = md5_of(toy.folder / "outputs.jsonl")
    assert {(row["policy"], row["engine"], row["sampling"]) for row in responses} == {(author, f"replay {author}", "")}
    assert {sample: sum(row["sample"] == sample for row in responses) for sample in range(3)} == dict.fromkeys(
        range(3), len(responses) // 3
    )
    labels = pq.read_table(toy.folder / made["artifacts"]["oversee"]["path"]).to_pylist()
    assert {label["verdict"] for label in labels} == {True, False}
    examples = pq.read_table(toy.folder / made["artifacts"]["validate"]["path"]).to_pylist()
    pair = next(row for row in examples if row["rejected"] is not None)
    traced = toy.json("show", "1", "preferences", "--id", pair["id"], "--trace")
    assert pair["chosen_response"] in str(traced)
    line = toy.json("lineage", "learner/2")["line"]
    assert line[0]["artifacts"]["respond"] == made["artifacts"]["respond"]["md5"]


def record(path: Path) -> Path:
    """The public recordings of three models on GSM8K's test questions, one row a question."""
    folder = DATA / "zeroeval_outputs"
    models = ("gsm.gemma-2-2b-it", "gsm.Qwen2-7B-Instruct", "gsm.gemma-2-27b-it@together")
    said = [{row["id"]: row["output"] for row in read(folder / f"{name}.jsonl.gz")} for name in models]
    made = (
        {"prompt": row["problem"], "response": [answers[row["id"]] for answers in said]} for row in read(folder / "gsm.problems.jsonl.gz")
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


def read(path: Path) -> Iterator[dict[str, Any]]:
    for _, row in rows(str(path)):
        assert isinstance(row, dict)
        yield row
