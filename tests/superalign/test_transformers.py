"""Laws of generation with transformers: the same distribution as a plain loop, whatever is beside a row, whatever memory there is."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from scipy.stats import chi2_contingency  # type: ignore[import-untyped]

from superalign.bench import SamplingBenchConfig
from superalign.bench.hardware import CHIPS, Chip, Work, chip, decoding_floor, work
from superalign.bench.sampling import end, questions, run
from superalign.engines import Completion, Sampling, TransformersConfig
from superalign.engines.transformers import Transformers
from superalign.errors import EngineError, PolicyError
from superalign.models import blank
from superalign.policy import Policy

PROMPTS = questions(12, 0)
SAMPLING = Sampling(num_samples=3, temperature=1.0, max_tokens=24)
CONFIG = TransformersConfig(device="cpu")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return policy(blank(tmp_path_factory.mktemp("models") / "qwen", PROMPTS, 0))


def policy(folder: Path) -> Policy:
    torch.set_num_threads(1)
    return Policy(role="learner", path=folder.as_posix(), md5="0" * 32)


def engine(given: Policy, mean: int = 8, **changed: Any) -> Transformers:
    """An engine whose answers end, after ``mean`` tokens on average."""
    built = Transformers(CONFIG.model_copy(update=changed), given)
    end(built.model, built.tokenizer(PROMPTS[0])["input_ids"][-1], mean, built.tokenizer.eos_token_id)
    return built


def other(kind: str, folder: Path, words: Policy) -> Policy:
    """An untrained model of another architecture."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(words.path)
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 512, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None,
        "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    torch.manual_seed(0)
    kinds: dict[str, Callable[[], Any]] = {
        "llama": lambda: transformers.LlamaConfig(**sizes),
        "mistral": lambda: transformers.MistralConfig(**sizes, sliding_window=16),
        "gemma": lambda: transformers.Gemma3TextConfig(**sizes, head_dim=8, sliding_window=16, layer_types=LAYERS),
        "hybrid": lambda: transformers.Qwen3NextConfig(**sizes, **HYBRID),
    }
    transformers.AutoModelForCausalLM.from_config(kinds[kind]()).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return policy(folder)


LAYERS = ["sliding_attention", "full_attention"]
HYBRID: dict[str, Any] = {
    "head_dim": 8, "layer_types": ["linear_attention", "full_attention"], "num_experts": 0, "linear_num_value_heads": 2,
    "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
}  # fmt: skip


def texts(made: list[list[Completion]]) -> list[list[str]]:
    return [[one.text for one in group] for group in made]


def forward(built: Transformers, prompt: str, one: Completion) -> list[float]:
    """The log-probabilities of an answer's tokens by one pass over the whole text, alone and without a cache."""
    asked = built.tokenizer(prompt)["input_ids"]
    ids = asked + built.tokenizer.convert_tokens_to_ids(list(one.tokens))
    with torch.no_grad():
        logits = built.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
    return [float(logits[place - 1, ids[place]]) for place in range(len(asked), len(ids))]


@pytest.mark.parametrize("kind", ["qwen", "llama", "mistral", "gemma", "hybrid"])
def test_logprobs_of_rows_that_come_and_go_are_those_of_one_pass_over_each_alone(kind: str, qwen: Policy, tmp_path: Path) -> None:
    given = qwen if kind == "qwen" else other(kind, tmp_path / kind, qwen)
    built = engine(given, batch_size=8)
    made = built.generate(PROMPTS, SAMPLING.model_copy(update={"temperature": 0.7, "top_p": 0.9}), 0)
    assert len({one.num_tokens for group in made for one in group}) > 3
    for prompt, group in zip(PROMPTS, made, strict=True):
        for one in group:
            assert one.logprobs == pytest.approx(forward(built, prompt, one), abs=2e-4)


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_samples_are_distributed_as_those_of_the_library(qwen: Policy, top_p: float) -> None:
    built, draws = Transformers(CONFIG.model_copy(update={"batch_size": 700}), qwen), 4000
    skew = -torch.arange(len(built.tokenizer), 0, -1).log()

    def hook(_: Any, __: Any, output: Any) -> Any:
        output.logits = 4 * output.logits + skew
        return output

    built.model.register_forward_hook(hook)
    sampling = Sampling(num_samples=1000, temperature=0.8, top_p=top_p, max_tokens=2)
    ours = Counter(one.tokens for seed in range(draws // 1000) for one in built.generate([PROMPTS[0]], sampling, seed)[0])
    ids = built.tokenizer([PROMPTS[0]], return_tensors="pt", return_token_type_ids=False)
    torch.manual_seed(0)
    written = built.model.generate(
        **ids, do_sample=True, temperature=0.8, top_p=top_p, top_k=0, max_new_tokens=2, num_return_sequences=draws, pad_token_id=0
    )[:, ids["input_ids"].shape[1] :]
    theirs = Counter(tuple(built.tokenizer.convert_ids_to_tokens(row)) for row in written.tolist())
    common = [tokens for tokens, count in (ours + theirs).items() if count >= 20]
    assert len(common) > 10
    counts = [[*(side[tokens] for tokens in common), 1 + draws - sum(side[tokens] for tokens in common)] for side in (ours, theirs)]
    assert chi2_contingency(counts).pvalue > 0.001


def test_answers_of_a_prompt_depend_on_no_other_prompt_and_no_batch_size(qwen: Policy) -> None:
    together = texts(engine(qwen).generate(PROMPTS, SAMPLING, 5))
    assert [texts(engine(qwen, batch_size=2).generate([prompt], SAMPLING, 5))[0] for prompt in PROMPTS] == together
    assert texts(engine(qwen, batch_size=5, max_batch_tokens=400).generate(PROMPTS[::-1], SAMPLING, 5))[::-1] == together


def test_a_prompt_asked_twice_is_answered_anew(qwen: Policy) -> None:
    twice = engine(qwen).generate([PROMPTS[0], PROMPTS[0]], SAMPLING, 0)
    assert len({one.text for group in twice for one in group}) == 6


def widths(built: Transformers) -> list[tuple[int, int]]:
    """Rows and columns of every pass, filled as passes are made."""
    seen: list[tuple[int, int]] = []

    def hook(_: Any, __: Any, given: dict[str, Any]) -> None:
        cache = given.get("past_key_values")
        seen.append((len(given["input_ids"]), given["input_ids"].shape[1] + (cache.get_seq_length() if cache else 0)))

    built.model.register_forward_pre_hook(hook, with_kwargs=True)
    return seen


def test_waiting_rows_take_the_place_of_those_that_ended(qwen: Policy) -> None:
    built = engine(qwen, mean=20, batch_size=24)
    seen = widths(built)
    made = built.generate(PROMPTS * 8, SAMPLING.model_copy(update={"max_tokens": 100}), 0)
    tokens = sum(one.num_tokens for group in made for one in group)
    assert max(rows for rows, _ in seen) == 24
    # Where none joins, the last of each 24 keeps the others' places idle, and 0.54 of the places are used.
    assert tokens / (24 * len(seen)) > 0.6


def test_no_batch_holds_more_tokens_than_the_budget(qwen: Policy) -> None:
    built = engine(qwen, max_batch_tokens=500)
    seen = widths(built)
    built.generate(PROMPTS, SAMPLING, 0)
    assert max(rows * width for rows, width in seen) <= 500
    assert max(rows for rows, _ in seen) > 3


def small(built: Transformers, most: int) -> None:
    """Has a model run out of memory beyond so many rows."""

    def hook(_: Any, __: Any, given: dict[str, Any]) -> None:
        if len(given["input_ids"]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    built.model.register_forward_pre_hook(hook, with_kwargs=True)
    # In the middle of a pass, too, where some layers have taken the token and others have not.
    built.model.model.layers[-1].register_forward_pre_hook(lambda _, given: hook(None, None, {"input_ids": given[0]}))


def test_out_of_memory_halves_the_batch_says_so_once_a_size_and_changes_no_answer(qwen: Policy, caplog: pytest.LogCaptureFixture) -> None:
    expected = texts(engine(qwen).generate(PROMPTS, SAMPLING, 0))
    built = engine(qwen)
    small(built, 5)
    with caplog.at_level(logging.WARNING, logger="superalign"):
        assert texts(built.generate(PROMPTS, SAMPLING, 0)) == expected
        assert texts(built.generate(PROMPTS, SAMPLING, 0)) == expected
    assert [record.args[1:] for record in caplog.records if isinstance(record.args, tuple)] == [(36, 18), (18, 9), (9, 4)]


def test_out_of_memory_while_drafts_are_checked_halves_the_batch_too(qwen: Policy) -> None:
    greedy = Sampling(num_samples=1, temperature=0, max_tokens=12)
    expected = texts(engine(qwen).generate(PROMPTS, greedy, 0))
    built = engine(qwen)
    small(built, 5)
    assert texts(built.generate(PROMPTS, greedy, 0, drafts=[f"{group[0]} x" for group in expected])) == expected


def test_a_row_that_does_not_fit_alone_is_an_error_with_the_way_out(qwen: Policy) -> None:
    built = engine(qwen)
    small(built, 0)
    with pytest.raises(EngineError, match=r"one text of \d+ tokens does not fit into the memory of cpu; lower sampling.max_tokens"):
        built.generate(PROMPTS, SAMPLING, 0)


def test_weights_that_are_no_numbers_are_an_error_and_no_certain_answer(qwen: Policy) -> None:
    built = engine(qwen)
    torch.nn.init.constant_(built.model.lm_head.weight, torch.nan)
    for temperature in (0.0, 1.0):
        with pytest.raises(EngineError, match=f"the learner in {qwen.path} gives a token the log-probability nan: its weights hold"):
            built.generate(PROMPTS[:1], SAMPLING.model_copy(update={"temperature": temperature}), 0)


@pytest.mark.parametrize("changed", [{"temperature": 5e-324}, {"temperature": 1e-39}, {"top_p": 5e-324}, {"top_p": 1e-46}])
def test_sampling_that_is_as_good_as_greedy_is_greedy(changed: dict[str, float], qwen: Policy) -> None:
    greedy = SAMPLING.model_copy(update={"temperature": 0.0})
    assert texts(engine(qwen).generate(PROMPTS, SAMPLING.model_copy(update=changed), 0)) == texts(engine(qwen).generate(PROMPTS, greedy, 0))


def test_a_chat_template_that_fails_by_itself_is_an_error_that_names_it(qwen: Policy, tmp_path: Path) -> None:
    shutil.copytree(qwen.path, tmp_path / "model")
    for template in ("{{ range(10 ** 30) }}", "{{ 1 // 0 }}", "{{ messages[0].content + 1 }}"):
        (tmp_path / "model" / "chat_template.jinja").write_text(template)
        with pytest.raises(PolicyError, match=r"the chat template of .*model fails at a conversation of \['user'"):
            Transformers(CONFIG, policy(tmp_path / "model"), "")


def test_a_model_without_a_chat_template_is_refused_where_prompts_are_chats(qwen: Policy, tmp_path: Path) -> None:
    given = other("llama", tmp_path / "llama", qwen)
    (Path(given.path) / "chat_template.jinja").unlink()
    with pytest.raises(PolicyError, match="has no chat template"):
        Transformers(CONFIG, given, "Be brief.")


def test_a_closed_engine_is_closed_again_without_harm(qwen: Policy) -> None:
    built = engine(qwen)
    built.close()
    built.close()


def test_the_benchmark_compares_equal_work_on_both_sides() -> None:
    report = run(SamplingBenchConfig(num_prompts=24, num_samples=2, max_tokens=64, batch_size=16, repeats=2, device="cpu"))
    ours, theirs = report.sides
    assert [ours.name.split()[0], theirs.name] == ["transformers", "model.generate"]
    assert np.mean(ours.tokens) == pytest.approx(np.mean(theirs.tokens), rel=0.25)
    assert report.ratio == pytest.approx(ours.rate / theirs.rate)


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB"),
        ("NVIDIA A100 80GB PCIe", "A100 80GB PCIe"),
        ("NVIDIA L40S", "L40S"),
        ("NVIDIA L40", None),
        ("NVIDIA A10G", None),
        ("NVIDIA GH200 480GB", None),
    ],
)
def test_a_chip_has_its_own_peaks_or_none(name: str, listed: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: name)
    assert chip(torch.device("cuda")) is (None if listed is None else CHIPS[listed])


def test_the_floor_is_the_bandwidth_for_few_rows_and_the_flops_for_many(qwen: Policy) -> None:
    model, peak = Work(flops=2e9, weight_bytes=2e9, cache_bytes=0), Chip(flops=1e12, bandwidth=1e12)
    assert decoding_floor(model, peak, 0, 100, 10, 1) == pytest.approx(100 * 2e9 / 1e12)
    assert decoding_floor(model, peak, 100, 100, 10, 100) == pytest.approx(200 * 2e9 / 1e12)
    assert work(engine(qwen).model).flops == 2 * sum(part.numel() for part in engine(qwen).model.parameters())
