"""The server of our own: what it answers, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from superalign.engines import Completion, OpenaiConfig, Sampling, TransformersConfig
from superalign.engines.openai import Openai
from superalign.engines.transformers import Transformers
from superalign.errors import ConfigError, EngineError
from superalign.models import blank
from superalign.policy import REFERENCE, Base, Policy, folder_md5
from superalign.serving import Job, command, default, free, names
from superalign.serving import batcher as batches
from superalign.serving.app import LARGEST, Served, Server, application, build
from superalign.serving.batcher import Batcher

PROMPTS = [f"What is {number} plus {number * 7 % 30}?" for number in range(12)]
ONE = Sampling(num_samples=1, temperature=0, max_tokens=12)
ASK = {"model": "learner/2", "messages": [{"role": "user", "content": "1+1?"}]}
TEXT: dict[str, Any] = {"model": "learner/2", "prompt": "1+1="}
WAIT = 300.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model and its tokenizer, whose chat template refuses a `critic`."""
    folder = blank(tmp_path_factory.mktemp("served") / "model", (f"{prompt} It is {n}." for n, prompt in enumerate(PROMPTS * 8)), 0)
    template = folder / "chat_template.jinja"
    refuse = "{% for row in messages %}{% if row['role'] == 'critic' %}{{ raise_exception('who?') }}{% endif %}{% endfor %}"
    template.write_text(refuse + template.read_text())
    return folder


@pytest.fixture(scope="module")
def policy(model: Path) -> Policy:
    return Policy(role="learner", path=model.as_posix(), md5=folder_md5(model))


class Recorder:
    """An engine that notes its calls, and waits in each of them until it may go on."""

    name = "recorder"
    template: str | None = None
    author: str | None = None

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], Sampling]] = []
        self.entered, self.free = threading.Semaphore(0), threading.Event()
        self.free.set()
        self.failure: Exception | None = None

    def generate(
        self, prompts: Sequence[str], sampling: Sampling, rng_seed: int, drafts: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        self.calls.append(([prompt.partition("\x1f")[2] for prompt in prompts], sampling))
        self.entered.release()
        assert self.free.wait(WAIT)
        if self.failure is not None:
            raise self.failure
        return [
            [Completion(f"{prompt}{number}", 2, (-0.5, -0.25), number == 0, ("Ġa", "!")) for number in range(sampling.num_samples)]
            for prompt in prompts
        ]

    def close(self) -> None:
        pass


class Client:
    """Requests to the app, without a network."""

    def __init__(self, served: Served, queue: int = batches.QUEUE) -> None:
        self.served, self.batcher = served, Batcher(served.engine, queue)
        transport = httpx.ASGITransport(application(served, self.batcher), raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://here", timeout=WAIT)

    async def post(self, body: Any, route: str | None = None) -> httpx.Response:
        where = route or ("/v1/chat/completions" if isinstance(body, dict) and "messages" in body else "/v1/completions")
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.post(where, content=content)


@pytest.fixture(scope="module")
def tokenizer(model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


@pytest.fixture
def recorder(tokenizer: Any) -> Iterator[tuple[Recorder, Served]]:
    engine = Recorder()
    yield engine, Served(("learner/2", "0" * 32), engine, tokenizer, 256)
    engine.free.set()


def asked(served: Served, *bodies: Any) -> list[httpx.Response]:
    """The answers to requests, one after another."""

    async def ask() -> list[httpx.Response]:
        client = Client(served)
        return [await client.post(body) for body in bodies]

    return asyncio.run(ask())


def refused(served: Served, body: Any) -> tuple[int, str, str | None]:
    response = asked(served, body)[0]
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return response.status_code, error["message"], error["param"]


def test_a_chat_is_answered_in_openais_words(recorder: tuple[Recorder, Served]) -> None:
    engine, served = recorder
    response = asked(served, ASK | {"n": 2, "logprobs": True, "max_tokens": 7, "temperature": 0.5, "top_p": 0.9})[0].json()
    rendered = "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
    assert engine.calls == [([rendered], Sampling(num_samples=2, temperature=0.5, top_p=0.9, max_tokens=7))]
    first, second = response["choices"]
    assert (first["index"], first["finish_reason"], second["index"], second["finish_reason"]) == (0, "stop", 1, "length")
    assert first["message"]["role"] == "assistant" and first["message"]["content"].endswith(f"{rendered}0")
    assert [(row["token"], row["logprob"], bytes(row["bytes"])) for row in first["logprobs"]["content"]] == [
        (" a", -0.5, b" a"),
        ("!", -0.25, b"!"),
    ]
    prompt_tokens = len(served.tokenizer(rendered)["input_ids"])
    assert response["usage"] == {"prompt_tokens": prompt_tokens, "completion_tokens": 4, "total_tokens": prompt_tokens + 4}
    assert (response["object"], response["model"]) == ("chat.completion", "learner/2")


def test_texts_are_continued_as_they_stand_several_at_a_time(recorder: tuple[Recorder, Served]) -> None:
    engine, served = recorder
    response = asked(served, TEXT | {"prompt": ["1+1=", "2+2="], "n": 2, "logprobs": 1})[0].json()
    assert engine.calls == [(["1+1=", "2+2="], Sampling(num_samples=2, temperature=1, max_tokens=16))]
    assert [row["text"].partition("\x1f")[2] for row in response["choices"]] == ["1+1=0", "1+1=1", "2+2=0", "2+2=1"]
    told = {"tokens": [" a", "!"], "token_logprobs": [-0.5, -0.25], "top_logprobs": None, "text_offset": [0, 2]}
    assert response["choices"][0]["logprobs"] == told
    assert asked(served, TEXT)[0].json()["choices"][0]["logprobs"] is None


def test_conversations_of_any_length_go_through_the_models_template(recorder: tuple[Recorder, Served]) -> None:
    engine, served = recorder
    turns = [
        ("system", "Be brief."),
        ("user", "1+1?"),
        ("assistant", "2"),
        ("user", [{"type": "text", "text": "su"}, {"type": "text", "text": "re?"}]),
    ]
    asked(served, ASK | {"messages": [{"role": role, "content": content} for role, content in turns]})
    said = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in [*turns[:3], ("user", "sure?")])
    assert engine.calls[0][0] == [f"{said}<|im_start|>assistant\n"]


@pytest.mark.parametrize(
    ("body", "beyond", "field"),
    [
        (ASK, {"stream": True}, "stream"),
        (ASK, {"stop": ["\n"]}, "stop"),
        (ASK, {"tools": [{"type": "function"}]}, "tools"),
        (ASK, {"response_format": {"type": "json_object"}}, "response_format"),
        (ASK, {"top_logprobs": 2}, "top_logprobs"),
        (ASK, {"frequency_penalty": 0.5}, "frequency_penalty"),
        (ASK, {"skip_special_tokens": False}, "skip_special_tokens"),
        (ASK, {"n": 0}, "n"),
        (ASK, {"n": 10**9}, "n"),
        (ASK, {"n": "2"}, "n"),
        (ASK, {"temperature": -1}, "temperature"),
        (ASK, {"temperature": float("nan")}, "temperature"),
        (ASK, {"top_p": 0}, "top_p"),
        (ASK, {"max_tokens": 0}, "max_tokens"),
        (ASK, {"seed": 2**63}, "seed"),
        (ASK, {"seed": 0.5}, "seed"),
        (ASK, {"logprobs": 5}, "logprobs"),
        (ASK, {"messages": []}, "messages"),
        (ASK, {"messages": "hello"}, "messages"),
        (ASK, {"messages": [{"role": "user"}]}, "messages"),
        (ASK, {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages"),
        (ASK, {"messages": [{"role": "user", "content": "a", "tool_calls": [{}]}]}, "messages.tool_calls"),
        (ASK, {"messages": [{"role": "critic", "content": "a"}]}, "messages"),
        (ASK, {"model": None}, "model"),
        (TEXT, {"logprobs": 5}, "logprobs"),
        (TEXT, {"prompt": [1, 2]}, "prompt"),
        (TEXT, {"prompt": ""}, "prompt"),
        (TEXT, {"prompt": ["a", ""]}, "prompt"),
        (TEXT, {"prompt": []}, "prompt"),
        (TEXT, {"prompt": ["a"] * 600, "n": 2}, "prompt"),
        (TEXT, {"echo": True}, "echo"),
        (TEXT, {"suffix": "b"}, "suffix"),
        (TEXT, {"best_of": 4}, "best_of"),
    ],
)
def test_what_is_not_done_is_refused_by_its_name(
    recorder: tuple[Recorder, Served], body: dict[str, Any], beyond: dict[str, Any], field: str
) -> None:
    engine, served = recorder
    status, said, param = refused(served, body | beyond)
    assert (status, param) == (400, field) and said
    assert not engine.calls


def test_fields_that_ask_for_nothing_pass(recorder: tuple[Recorder, Served]) -> None:
    _, served = recorder
    nothing = {
        "user": "me",
        "stream": False,
        "stop": None,
        "tools": [],
        "top_logprobs": 0,
        "frequency_penalty": 0.0,
        "seed": None,
        "n": None,
    }
    assert asked(served, ASK | nothing)[0].status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"[" * 10**5, b"\xff\xfe", b"null", b'"a"', b'{"a":' + b"9" * 5000 + b"}", b'{"model": "\\ud800"}']
)
def test_a_body_that_is_no_request_is_refused(recorder: tuple[Recorder, Served], body: bytes) -> None:
    status, said, _ = refused(recorder[1], body)
    assert status == 400 and said.startswith("the body is")


@pytest.mark.parametrize("content", [None, 3, [{"type": "image_url", "image_url": {}}], [{"type": "text", "text": "a", "detail": "low"}]])
def test_a_message_without_text_is_told_what_one_has(recorder: tuple[Recorder, Served], content: Any) -> None:
    _, said, _ = refused(recorder[1], ASK | {"messages": [{"role": "user", "content": content}]})
    assert said == 'messages.0.content: wants a text, or a list of parts {"type": "text", "text": ...}'


def test_a_client_that_leaves_while_it_sends_is_no_fault_of_the_server(recorder: tuple[Recorder, Served]) -> None:
    served, sent = recorder[1], []

    async def leave() -> None:
        left = iter([{"type": "http.request", "body": b'{"mod', "more_body": True}, {"type": "http.disconnect"}])
        scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": [], "query_string": b"", "root_path": ""}

        async def receive() -> Any:
            return next(left)

        async def send(message: Any) -> None:
            sent.append(message)

        await application(served, Batcher(served.engine))(scope, receive, send)

    asyncio.run(leave())
    assert sent[0]["status"] == 400


def test_a_body_is_read_only_so_far(recorder: tuple[Recorder, Served]) -> None:
    assert refused(recorder[1], b" " * (LARGEST + 1))[0] == 413


def test_another_model_or_route_is_not_found_and_what_there_is_is_named(recorder: tuple[Recorder, Served]) -> None:
    _, served = recorder
    assert refused(served, ASK | {"model": "gpt-5"})[:2] == (404, f"the model 'gpt-5' does not exist; there is learner/2, {'0' * 32}")

    async def ask() -> list[httpx.Response]:
        client = Client(served)
        return [await client.http.get("/v1/completions"), await client.post(TEXT, "/v1/responses"), await client.http.get("/v1/models")]

    wrong, missing, models = asyncio.run(ask())
    assert (wrong.status_code, missing.status_code) == (405, 404)
    assert "/v1/chat/completions" in missing.json()["error"]["message"]
    assert [row["id"] for row in models.json()["data"]] == ["learner/2", "0" * 32]


def test_a_prompt_beyond_the_context_is_refused_as_a_client_expects(recorder: tuple[Recorder, Served]) -> None:
    _, served = recorder
    for body in (TEXT | {"prompt": "1+1=" * 256}, TEXT | {"max_tokens": 256}, ASK | {"max_completion_tokens": 250}):
        status, said, param = refused(served, body)
        assert (status, param) == (400, "max_tokens") and "maximum context length is 256 tokens" in said


def test_a_chat_without_a_limit_may_fill_the_context(recorder: tuple[Recorder, Served]) -> None:
    engine, served = recorder
    usage = asked(served, ASK)[0].json()["usage"]
    assert engine.calls[0][1].max_tokens == 256 - usage["prompt_tokens"]


def test_a_model_without_a_chat_template_continues_texts_and_refuses_chats(recorder: tuple[Recorder, Served], tokenizer: Any) -> None:
    _, served = recorder
    bare = type("Bare", (), {"chat_template": None, "__call__": lambda self, *words, **given: tokenizer(*words, **given)})
    served = replace(served, tokenizer=bare())
    status, said, _ = refused(served, ASK)
    assert status == 400 and "no chat template" in said and "/v1/completions" in said


def test_an_engine_that_fails_is_said_to_have_and_goes_on(recorder: tuple[Recorder, Served]) -> None:
    engine, served = recorder
    engine.failure = EngineError("no memory")
    assert refused(served, TEXT)[:2] == (500, "no memory")
    engine.failure = None
    assert asked(served, TEXT)[0].status_code == 200


@asynccontextmanager
async def busy(engine: Recorder, served: Served, queue: int = batches.QUEUE) -> AsyncIterator[tuple[Client, asyncio.Task[httpx.Response]]]:
    """A client whose first request, which comes with it, keeps the engine busy until the block ends."""
    client = Client(served, queue)
    engine.free.clear()
    first = asyncio.create_task(client.post(TEXT))
    await asyncio.to_thread(engine.entered.acquire, timeout=WAIT)
    yield client, first
    engine.free.set()
    await first


async def waiting(client: Client, *bodies: Any) -> asyncio.Future[list[httpx.Response]]:
    """The answers to requests all of which wait by now."""
    answers = asyncio.gather(*(asyncio.create_task(client.post(body)) for body in bodies))
    while len(client.batcher.waiting) < len(bodies):
        await asyncio.sleep(0.001)
    return answers


def test_what_comes_while_the_engine_is_busy_is_asked_together_by_equal_sampling(recorder: tuple[Recorder, Served]) -> None:
    engine, served = recorder

    async def ask() -> None:
        async with busy(engine, served) as (client, _):
            others = await waiting(client, *(TEXT | {"prompt": f"{n}+1=", "seed": n, "temperature": n % 2} for n in range(8)))
            assert (await client.http.get("/health")).status_code == 200
        texts = [answer.json()["choices"][0]["text"] for answer in await others]
        assert [text.partition("\x1f")[2] for text in texts] == [f"{n}+1=0" for n in range(8)]

    asyncio.run(ask())
    assert [len(prompts) for prompts, _ in engine.calls] == [1, 4, 4]


def test_equal_requests_of_equal_seed_are_one_prompt_to_the_engine(recorder: tuple[Recorder, Served]) -> None:
    engine, served = recorder

    async def ask() -> None:
        async with busy(engine, served) as (client, _):
            others = await waiting(client, *(TEXT | {"prompt": "2+2=", "seed": seed} for seed in (1, 1, 2)))
        await others

    asyncio.run(ask())
    assert [prompts for prompts, _ in engine.calls] == [["1+1="], ["2+2=", "2+2="]]


def test_no_more_wait_than_the_queue_holds(recorder: tuple[Recorder, Served]) -> None:
    engine, served = recorder

    async def ask() -> None:
        async with busy(engine, served, queue=2) as (client, first):
            others = await waiting(client, TEXT | {"prompt": ["a", "b"]})
            late = await client.post(TEXT)
            assert late.status_code == 429 and late.headers["Retry-After"] == "1"
        assert [answer.status_code for answer in (await first, *await others)] == [200, 200]

    asyncio.run(ask())


def test_who_waits_when_the_server_ends_is_told_so(recorder: tuple[Recorder, Served]) -> None:
    engine, served = recorder

    async def ask() -> None:
        async with busy(engine, served) as (client, first):
            others = await waiting(client, TEXT | {"n": 2})
            client.batcher.close()
            assert [answer.status_code for answer in (await first, *await others)] == [503, 503]
            assert (await client.post(TEXT)).status_code == 503

    asyncio.run(ask())
    assert len(engine.calls) == 1


@pytest.fixture(scope="module")
def base(policy: Policy) -> Any:
    return Base(model=policy.path, md5=policy.md5)


@pytest.fixture(scope="module")
def adapter(policy: Policy, base: Base, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """A LoRA adapter over the model that changes what it says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(policy.path), LoraConfig(r=12, init_lora_weights=False, task_type="CAUSAL_LM")
    )
    folder = tmp_path_factory.mktemp("adapter") / "adapter"
    model.save_pretrained(str(folder))
    (folder / REFERENCE).write_text(base.model_dump_json())
    return Policy(role="learner", path=folder.as_posix(), md5=folder_md5(folder))


def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(policy: Policy, where: int) -> subprocess.Popen[str]:
    """The server of a policy, once it is ready."""
    words = command("transformers", policy, "learner/2", "127.0.0.1", where)
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{where}/health", timeout=5):
                return server
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    server.kill()
    pytest.fail(f"the server did not start: {server.communicate()[1]}")


def stop(server: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    """Its exit code, and what it said."""
    server.send_signal(number)
    said = server.communicate(timeout=WAIT)
    return server.returncode, "".join(said)


@pytest.fixture(scope="module")
def url(adapter: Policy) -> Iterator[str]:
    """The address of a server of the adapter."""
    where = port()
    server = Server(build(Job(policy=adapter, names=tuple(names(adapter, "learner/2")), host="127.0.0.1", port=where)), "127.0.0.1", where)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    yield f"http://127.0.0.1:{where}/v1"
    server.should_exit = True
    thread.join(WAIT)


def generate(
    url: str, policy: Policy, sampling: Sampling, rng_seed: int, system: str | None, prompts: Sequence[str] = PROMPTS
) -> list[list[Completion]]:
    client = Openai(OpenaiConfig(base_url=url), policy, system)
    try:
        return client.generate(prompts, sampling, rng_seed)
    finally:
        client.close()


@pytest.mark.parametrize("system", [None, "", "Be brief."])
def test_greedy_answers_through_the_server_are_those_of_the_engine(url: str, adapter: Policy, system: str | None, workspace: Path) -> None:
    served = generate(url, adapter, ONE, 0, system)
    local = Transformers(TransformersConfig(device="cpu"), adapter, system)
    for (one,), (other,) in zip(served, local.generate(PROMPTS, ONE, 0), strict=True):
        assert (one.text, one.num_tokens, one.finished) == (other.text, other.num_tokens, other.finished)
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    assert len({one.logprobs for (one,) in served}) == len(PROMPTS)


def test_samples_differ_and_equal_seeds_reproduce_them_in_any_company(
    url: str, adapter: Policy, workspace: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = Sampling(num_samples=3, temperature=1, max_tokens=8)
    first = generate(url, adapter, sampling, 1, "")
    assert all(len(group) == 3 and len({sample.text for sample in group}) > 1 for group in first)
    assert generate(url, adapter, sampling, 2, "") != first
    monkeypatch.chdir(tmp_path_factory.mktemp("again"))
    again = [text for prompt in PROMPTS[::-1] for text in generate(url, adapter, sampling, 1, "", [prompt])]
    assert [[one.text for one in group] for group in again[::-1]] == [[one.text for one in group] for group in first]


def test_without_a_seed_no_two_answers_are_alike(url: str) -> None:
    body = {"model": "learner/2", "prompt": ["1+1="] * 2, "n": 2, "max_tokens": 16}
    texts = [row["text"] for _ in range(2) for row in httpx.post(f"{url}/completions", json=body, trust_env=False).json()["choices"]]
    assert len(set(texts)) == 8


def test_one_prompt_beyond_the_context_is_no_reason_to_stop(url: str, adapter: Policy, workspace: Path) -> None:
    first, second = generate(url, adapter, ONE, 0, None, ["1 plus 12 " * 4096, "1+1="])
    assert first == [Completion(text="", num_tokens=0, logprobs=(), finished=False)]
    assert second[0].num_tokens > 0


@pytest.mark.slow
def test_the_server_ends_at_once_while_it_writes_and_who_waits_is_told(policy: Policy) -> None:
    where = port()
    server = start(policy, where)
    body = {"model": policy.md5, "prompt": "1+1=", "n": 256, "max_tokens": 3000}
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(httpx.post, f"http://127.0.0.1:{where}/v1/completions", json=body, trust_env=False, timeout=WAIT)
        time.sleep(2)
        code, said = stop(server, signal.SIGINT)
        assert answer.result().status_code == 503
    assert code == 0 and "Traceback" not in said, said


def test_answers_end_where_the_chat_template_ends_them_though_the_tokenizers_own_end_is_another(policy: Policy, tmp_path: Path) -> None:
    folder = shutil.copytree(policy.path, tmp_path / "model")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "<|endoftext|>"}))
    other = Policy(role="learner", path=folder.as_posix(), md5=folder_md5(folder))
    served = build(Job(policy=other, names=("learner/1",), host="127.0.0.1", port=8000))
    assert isinstance(served.engine, Transformers)
    assert served.engine.stops == set(served.tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"]))


def test_a_policy_is_called_by_its_version_its_model_and_its_md5(policy: Policy, adapter: Policy, base: Base, tmp_path: Path) -> None:
    (tmp_path / REFERENCE).write_text(base.model_dump_json())
    reference = Policy(role="learner", path=tmp_path.as_posix(), md5=folder_md5(tmp_path))
    assert names(policy, "learner/1") == ["learner/1", policy.md5]
    assert names(reference, "learner/1") == ["learner/1", policy.path, reference.md5]
    assert names(adapter, "learner/2") == ["learner/2", adapter.md5]


def test_vllm_serves_an_adapter_beside_its_base_and_samples_as_it_is_asked_to(policy: Policy, adapter: Policy) -> None:
    words = command("vllm", adapter, "learner/2", "127.0.0.1", 8000)
    following = dict(pairwise(words))
    assert (following["--model"], following["--served-model-name"], following["--max-lora-rank"]) == (policy.path, policy.path, "16")
    modules = [json.loads(word) for word in words[words.index("--lora-modules") + 1 :]]
    assert modules == [{"name": name, "path": adapter.path} for name in ("learner/2", adapter.md5)]
    assert following["--generation-config"] == "vllm"


def test_an_adapter_too_large_for_vllm_is_an_error_with_the_way_out(adapter: Policy, tmp_path: Path) -> None:
    folder = shutil.copytree(adapter.path, tmp_path / "large")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"r": 513}))
    with pytest.raises(EngineError, match=r"rank 513.*--engine transformers"):
        command("vllm", adapter.model_copy(update={"path": folder.as_posix()}), "learner/2", "127.0.0.1", 8000)


def test_vllm_that_is_missing_is_an_error_with_the_way_out(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert default() == "transformers"
    with pytest.raises(EngineError, match=r"uv pip install 'vllm>=.*--engine transformers"):
        command("vllm", policy, "learner/1", "127.0.0.1", 8000)


@pytest.mark.parametrize(("host", "number"), [("nowhere.invalid", 8000), ("192.0.2.1", 8000)])
def test_an_address_nobody_can_listen_at_is_an_error(host: str, number: int) -> None:
    with pytest.raises(ConfigError, match=f"nothing can listen at --host {host} --port {number}"):
        free(host, number)


def test_a_port_that_is_taken_is_an_error_and_a_free_one_is_none() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="in use"):
            free("127.0.0.1", taken.getsockname()[1])
    free("127.0.0.1", port())
