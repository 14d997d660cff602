from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from superalign.engines import Completion, OpenaiConfig, Sampling, client
from superalign.engines.openai import Openai, served_name
from superalign.errors import ArtifactError, ConfigError, EngineError
from superalign.policy import Policy

POLICY = Policy(role="learner", path="nowhere", md5="0" * 32)
PAUSE = client.Client.pause
ONE = Sampling(num_samples=1, max_tokens=8)
SECRET = "sk-never-to-be-seen"
WAIT = 20.0
"""Seconds after which a test that hangs gives up."""


@dataclass
class Reply:
    """What the server sends; a cut one announces more than it sends."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


def choice(text: Any, **given: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"} | given


def answered(body: dict[str, Any]) -> Reply:
    """As many answers as were asked for, each naming its prompt and its place."""
    prompt = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    texts = [f"{prompt} {number}" for number in range(body.get("n", 1))]
    return Reply({"choices": [choice(text) if "messages" in body else {"text": text, "finish_reason": "stop"} for text in texts]})


@dataclass
class Server:
    """A server that does what a test says, and remembers what it was asked."""

    reply: Callable[[dict[str, Any]], Reply] = answered
    models: Reply = field(default_factory=lambda: Reply({"data": [{"id": POLICY.md5}]}))
    asked: list[dict[str, Any]] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    def engine(self, system: str | None = "", policy: Policy = POLICY, **given: Any) -> Openai:
        return Openai(OpenaiConfig(base_url=f"http://127.0.0.1:{self.port}/v1", **given), policy, system)

    def generate(self, *prompts: str, sampling: Sampling = ONE, rng_seed: int = 0, **given: Any) -> list[list[Completion]]:
        engine = self.engine(**given)
        try:
            return engine.generate(prompts, sampling, rng_seed)
        finally:
            engine.close()

    def texts(self, *prompts: str, **given: Any) -> list[str]:
        return [group[0].text for group in self.generate(*prompts, **given)]

    def prompts(self) -> list[str]:
        return [body["messages"][-1]["content"] for body in self.asked]

    def fail_first(self, *replies: Reply | None) -> None:
        """Sends these first, and answers from then on; None sends nothing until the client hangs up."""
        left = list(replies)

        def reply(body: dict[str, Any]) -> Reply:
            if not left:
                return answered(body)
            first = left.pop(0)
            if first is None:
                threading.Event().wait(1.5)
                return Reply({})
            return first

        self.reply = reply


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Listener

    def do_GET(self) -> None:
        self._send(self.server.script.models)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.script.asked.append(body)
        self.server.script.routes.append(self.path)
        self.server.script.headers.append(dict(self.headers.items()))
        self._send(self.server.script.reply(body))

    def _send(self, reply: Reply) -> None:
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        try:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if reply.cut else content)
        except ConnectionError:
            self.close_connection = True
        self.close_connection = self.close_connection or reply.cut

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    script: Server

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error here; what fails otherwise is seen by the client."""


@contextmanager
def listening(script: Server) -> Iterator[None]:
    with Listener(("127.0.0.1", 0), Handler) as listener:
        listener.script, script.port = script, listener.server_address[1]
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            listener.shutdown()
            thread.join()


@pytest.fixture
def server(workspace: Path) -> Iterator[Server]:
    script = Server()
    with listening(script):
        yield script


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited between attempts; nothing is."""
    waited: list[float] = []

    async def pause(self: client.Client, seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(client.Client, "pause", pause)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return waited


def test_a_chat_is_asked_for_as_messages_and_a_text_as_it_stands(server: Server) -> None:
    sampling = Sampling(num_samples=2, temperature=0.5, top_p=0.9, max_tokens=7)
    assert [c.text for c in server.generate("why?", sampling=sampling, system="Be brief.")[0]] == ["why? 0", "why? 1"]
    assert [c.text for c in server.generate("1+1=", sampling=sampling, system=None)[0]] == ["1+1= 0", "1+1= 1"]
    server.generate("why?", sampling=sampling, system="")
    seeds = [body.pop("seed") for body in server.asked]
    shared = {"model": POLICY.md5, "n": 2, "temperature": 0.5, "top_p": 0.9, "max_tokens": 7}
    asked = {"role": "user", "content": "why?"}
    assert server.asked == [
        shared | {"logprobs": True, "messages": [{"role": "system", "content": "Be brief."}, asked]},
        shared | {"logprobs": 1, "prompt": "1+1="},
        shared | {"logprobs": True, "messages": [asked]},
    ]
    assert server.routes == ["/v1/chat/completions", "/v1/completions", "/v1/chat/completions"]
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_seeds_follow_from_the_random_seed_and_the_prompt(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def seeds(*prompts: str, rng_seed: int) -> list[int]:
        server.asked.clear()
        server.generate(*prompts, rng_seed=rng_seed, concurrency=1)
        return [body["seed"] for body in server.asked]

    first = seeds("a", "b", rng_seed=1)
    assert len({*first, *seeds("a", "b", rng_seed=2)}) == 4
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert seeds("b", "a", rng_seed=1) == first[::-1]


def test_answers_stand_in_the_order_of_the_prompts_whatever_comes_first(server: Server) -> None:
    last = threading.Event()

    def reply(body: dict[str, Any]) -> Reply:
        prompt = body["messages"][-1]["content"]
        assert last.wait(WAIT) if prompt == "0" else True
        if prompt == "7":
            last.set()
        return answered(body)

    server.reply = reply
    assert server.texts(*map(str, range(8)), concurrency=4) == [f"{number} 0" for number in range(8)]
    assert server.prompts()[-1] != "0"


def test_no_more_requests_are_in_flight_than_allowed_and_so_many_are(server: Server) -> None:
    together, lock, flying, most = threading.Barrier(3), threading.Lock(), 0, 0

    def reply(body: dict[str, Any]) -> Reply:
        nonlocal flying, most
        with lock:
            flying += 1
            most = max(most, flying)
        together.wait(WAIT)
        with lock:
            flying -= 1
        together.wait(WAIT)
        return answered(body)

    server.reply = reply
    server.generate(*map(str, range(9)), concurrency=3)
    assert most == 3


def test_a_server_that_is_busy_is_given_the_time_it_asks_for_but_not_more_than_two_minutes(server: Server, pauses: list[float]) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    asked = ("9", "100000", date, "soon", "-5")
    server.fail_first(*(Reply({}, 429, {"Retry-After": value}) for value in asked))
    assert server.texts("a") == ["a 0"]
    assert pauses[0] == 9
    assert pauses[1:3] == [120, 120]
    assert all(0 < pause <= 16 for pause in pauses[3:])


def test_each_pause_is_longer_than_the_last_and_bounded(server: Server, pauses: list[float]) -> None:
    server.fail_first(*[Reply({}, 500)] * 12)
    assert server.texts("a", retries=12) == ["a 0"]
    assert all(min(60, 2**attempt) / 2 <= pause <= min(60, 2**attempt) for attempt, pause in enumerate(pauses))
    assert len(pauses) == 12


@pytest.mark.parametrize(
    "fault",
    [
        Reply({}, 500),
        Reply(b"<html>502 Bad Gateway</html>", 502),
        Reply({}, 429),
        Reply({"choices": [choice("half of it")]}, cut=True),
        Reply(b'{"choices": [{"message": {"content": "ha'),
        Reply(b"<html>sign in</html>"),
        Reply(b"\xff\xfe\x00"),
        Reply(b"[" * 100_000),
        Reply(b"9" * 10_000),
        Reply([]),
        Reply({}),
        Reply({"choices": None}),
        Reply({"choices": []}),
        Reply({"choices": ["a"]}),
        Reply({"choices": [{}]}),
        Reply({"choices": [choice(["a"])]}),
        Reply({"choices": [{"message": None}]}),
        Reply({"choices": [choice("half of i", finish_reason="error")]}),
        Reply({"choices": [choice("", finish_reason="abort")]}),
        None,
    ],
)
def test_what_may_pass_is_asked_again(server: Server, fault: Reply | None) -> None:
    server.fail_first(fault)
    assert server.texts("a", timeout=1 if fault is None else 600) == ["a 0"]
    assert server.prompts() == ["a", "a"]


def test_what_does_not_pass_is_said_with_what_is_there_and_only_the_rest_is_asked_for_again(server: Server) -> None:
    server.reply = lambda body: answered(body) if len(server.asked) <= 3 else Reply({"error": {"message": "no\nmemory"}}, 503)
    found = r"answered 503: no memory, asked 3 times; 3 of 5 prompts are answered and kept, and the same command asks for the rest"
    with pytest.raises(EngineError, match=found):
        server.generate(*"abcde", concurrency=1, retries=2)
    assert server.prompts() == ["a", "b", "c", "d", "d", "d"]
    server.asked.clear()
    server.reply = answered
    assert server.texts(*"abcde") == ["a 0", "b 0", "c 0", "d 0", "e 0"]
    assert sorted(server.prompts()) == ["d", "e"]


def test_after_a_failure_what_is_under_way_is_kept_and_nothing_else_is_asked(server: Server) -> None:
    engine = server.engine(concurrency=3)

    def reply(body: dict[str, Any]) -> Reply:
        if body["messages"][-1]["content"] == "bad":
            return Reply({"message": "not this"}, 400)
        while not engine.client.hurry.is_set():
            threading.Event().wait(0.01)
        return answered(body)

    server.reply = reply
    with pytest.raises(EngineError, match="answered 400: not this; 2 of 9 prompts"):
        engine.generate(["a", "b", "bad", *map(str, range(6))], ONE, 0)
    engine.close()
    assert sorted(server.prompts()) == ["a", "b", "bad"]


def test_after_a_failure_nothing_is_asked_once_more_and_the_first_failure_is_told(server: Server) -> None:
    engine = server.engine(concurrency=2)

    def reply(body: dict[str, Any]) -> Reply:
        if body["messages"][-1]["content"] == "bad":
            return Reply({"message": "not this"}, 400)
        while not engine.client.hurry.is_set():
            threading.Event().wait(0.01)
        return Reply({}, 503)

    server.reply = reply
    with pytest.raises(EngineError, match="answered 400: not this; 0 of 2 prompts"):
        engine.generate(["a", "bad"], ONE, 0)
    engine.close()
    assert sorted(server.prompts()) == ["a", "bad"]


def test_a_pause_ends_where_there_is_hurry() -> None:
    async def hurried() -> None:
        waiting = client.Client(OpenaiConfig(base_url="http://here"))
        waiting.hurry.set()
        await asyncio.wait_for(PAUSE(waiting, 1e6), WAIT)

    asyncio.run(hurried())


def test_what_was_answered_is_not_asked_again_unless_it_is_asked_otherwise(server: Server) -> None:
    def count(**given: Any) -> int:
        server.asked.clear()
        assert server.texts("a", "b", "a", **given) == ["a 0", "b 0", "a 0"]
        return len(server.asked)

    assert [count(), count()] == [2, 0]
    server.models = Reply({"data": [{"id": "other"}, {"id": "1" * 32}, {"id": POLICY.md5}]})
    assert count(rng_seed=1) == count(model="other") == count(system="Be brief.") == count(sampling=Sampling(num_samples=2)) == 2
    assert count(policy=POLICY.model_copy(update={"md5": "1" * 32}), model="other") == 2
    assert count() == 0


def test_an_answer_comes_back_from_the_file_as_it_came_from_the_server(server: Server) -> None:
    logprobs = {"content": [{"token": " é", "logprob": -0.1234567890123}, {"token": "\x00", "logprob": 1e-9}]}
    server.reply = lambda body: Reply({"choices": [choice("a\x00 é\ud800\ud83d\ude00", logprobs=logprobs, finish_reason="length")]})
    first = server.generate("a")
    assert first == [[Completion("a\x00 é\ufffd😀", 2, (-0.123457, 0.0), finished=False, tokens=(" é", "\x00"))]]
    assert server.generate("a") == first
    assert len(server.asked) == 1


def test_lines_that_are_damaged_or_cut_off_are_asked_again(server: Server) -> None:
    server.generate(*"abcd", concurrency=1)
    (path,) = Path(".superalign/answers").iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(
        lines[0] + lines[1].replace(b'"num_tokens":2', b'"num_tokens":"two"') + b"\x00\xff{\n\n[]\n" + lines[2] + lines[3][:-20]
    )
    server.asked.clear()
    assert server.texts(*"abcd", concurrency=1) == ["a 0", "b 0", "c 0", "d 0"]
    assert server.prompts() == ["b", "d"]
    assert server.texts(*"abcd") == ["a 0", "b 0", "c 0", "d 0"]
    assert server.prompts() == ["b", "d"]


def test_two_engines_may_write_to_one_file(server: Server) -> None:
    first, second = server.engine(), server.engine()
    for number in range(5):
        first.generate([f"a{number}"], ONE, 0)
        second.generate([f"b{number}"], ONE, 0)
    assert first.generate(["a1"], ONE, 0)[0][0].text == "a1 0"
    assert len(server.asked) == 10
    for engine in (first, second, second):
        engine.close()
    server.asked.clear()
    assert server.texts(*(f"{side}{number}" for side in "ab" for number in range(5)))[5] == "b0 0"
    assert server.asked == []


@pytest.mark.parametrize(
    ("given", "finished", "num_tokens"),
    [
        (choice(None), True, 0),
        (choice(""), True, 0),
        ({"message": {}}, False, 0),
        (choice("two words", finish_reason=None), False, 2),
        (choice("two words", logprobs={"content": [{"token": "t", "logprob": float("nan")}]}), True, 2),
        (choice("two words", logprobs={"content": [{"token": "t", "logprob": None}]}), True, 2),
        (choice("two words", logprobs={"content": [{"token": "t", "logprob": True}]}), True, 2),
        (choice("two words", logprobs={"content": [{"token": "t", "logprob": -(10**400)}]}), True, 2),
        (choice("two words", logprobs={"content": [{"token": "t", "logprob": -1e308}]}), True, 2),
        (choice("two words", logprobs={"content": [{"token": "t", "logprob": 1e308}]}), True, 2),
        (choice("two words", logprobs={"content": [7]}), True, 2),
        (choice("two words", logprobs={"tokens": ["t"], "token_logprobs": []}), True, 2),
        ({"text": "two words", "logprobs": 3}, False, 2),
    ],
)
def test_what_an_answer_lacks_is_unknown_and_the_answer_is_kept(server: Server, given: Any, finished: bool, num_tokens: int) -> None:
    server.reply = lambda body: Reply({"choices": [given]})
    ((found,),) = server.generate("a")
    assert (found.finished, found.num_tokens, found.logprobs, found.tokens) == (finished, num_tokens, (), ())


@pytest.mark.parametrize(
    ("usage", "num_tokens"), [({"completion_tokens": 11}, 5), ({"completion_tokens": "11"}, 1), ({"completion_tokens": 10**30}, 1), (7, 1)]
)
def test_without_log_probabilities_tokens_are_the_servers_count_shared_out_or_words(server: Server, usage: Any, num_tokens: int) -> None:
    server.reply = lambda body: Reply({"choices": [choice("a"), choice("b")], "usage": usage})
    assert [c.num_tokens for c in server.generate("a", sampling=Sampling(num_samples=2))[0]] == [num_tokens] * 2


def test_a_server_that_gives_fewer_answers_is_asked_for_the_rest_with_other_seeds(server: Server) -> None:
    server.reply = lambda body: Reply({"choices": [choice(str(body["seed"]))]})
    texts = [c.text for c in server.generate("a", sampling=Sampling(num_samples=3))[0]]
    assert len(set(texts)) == 3
    assert [body.get("n") for body in server.asked] == [3, 2, None]


def test_more_answers_than_asked_for_are_left_out(server: Server) -> None:
    server.reply = lambda body: Reply({"choices": [choice("x"), choice("y"), choice("z")]})
    assert [c.text for c in server.generate("a", sampling=Sampling(num_samples=2))[0]] == ["x", "y"]


@pytest.mark.parametrize("said", ["unknown field `logprobs`", "logprobs are not supported; only n = 1 is"])
def test_a_server_that_refuses_log_probabilities_or_many_samples_is_asked_without(server: Server, said: str) -> None:
    def reply(body: dict[str, Any]) -> Reply:
        refused = "logprobs" in body or ("n =" in said and "n" in body)
        return Reply({"error": {"message": said}}, 400) if refused else answered(body)

    server.reply = reply
    (group,) = server.generate("a", sampling=Sampling(num_samples=2))
    assert len(group) == 2
    assert "logprobs" not in server.asked[-1]


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 4096 tokens. However, your prompt contains at least 4097 input tokens",
        "the request exceeds the available context size, try increasing it",
        "prompt is too long: 210000 tokens > 200000 maximum",
    ],
)
def test_a_prompt_that_exceeds_the_context_has_empty_answers_unless_all_do(server: Server, said: str) -> None:
    two = Sampling(num_samples=2)
    server.reply = lambda body: Reply({"error": {"message": said}}, 400) if "long" in str(body["messages"]) else answered(body)
    found = server.generate("long 1", "short", "long 2", sampling=two)
    assert [c.text for group in found for c in group] == ["", "", "short 0", "short 1", "", ""]
    assert [c.finished for c in found[0]] == [False, False]
    with pytest.raises(EngineError, match=r"no prompt fits the model's context: .*; lower sampling.max_tokens"):
        server.generate("long 1", "long 2", sampling=two)


def test_a_model_that_is_not_served_is_named_with_what_is(server: Server) -> None:
    server.models = Reply({"data": [{"id": "Qwen/Qwen2.5-7B"}, {"name": 3}, 4]})
    with pytest.raises(
        EngineError, match=r"serves Qwen/Qwen2.5-7B, and not '0{32}', the learner of .* `superalign serve`, set engine.model"
    ):
        server.generate("a")
    assert server.asked == []
    assert server.texts("a", model="Qwen/Qwen2.5-7B") == ["a 0"]


@pytest.mark.parametrize("status", [404, 405])
def test_a_server_that_does_not_tell_its_models_is_asked_all_the_same(server: Server, status: int) -> None:
    server.models = Reply({}, status)
    assert server.texts("a") == ["a 0"]


def test_where_nobody_listens_is_said_at_once(workspace: Path, pauses: list[float]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        script = Server(port=free.getsockname()[1])
    with pytest.raises(EngineError, match=r"no server is at http://127.0.0.1:\d+/v1 .*; start one, or give another base_url"):
        script.generate("a")
    assert pauses == []


@pytest.mark.parametrize(
    ("refusal", "found"),
    [
        (Reply({"error": {"message": "bad key", "code": 9}}, 401), r"answered 401: bad key; set the environment variable OPENAI_API_KEY"),
        (Reply({}, 302, {"Location": "http://127.0.0.1:9/v1"}), r"answered 302: \{\}; give as base_url"),
        (Reply({"error": "no such thing"}, 404), "answered 404: no such thing; 0 of 1"),
        (Reply({"detail": [{"msg": "a" * 999}]}, 422), r"answered 422: .{300}; 0 of 1"),
        (Reply(b"", 400), "answered 400: nothing; 0 of 1"),
        (Reply(b"\x1b[31m<html>\x00no", 400), r"answered 400: \?\[31m<html>\?no; 0 of 1"),
    ],
)
def test_a_refusal_is_final_and_says_what_the_server_said(server: Server, refusal: Reply, found: str) -> None:
    server.reply = lambda body: refusal
    with pytest.raises(EngineError, match=found):
        server.generate("a")
    assert len(server.asked) == 1


def test_what_is_refused_for_good_is_not_said_to_be_had_by_the_same_command(server: Server) -> None:
    server.reply = lambda body: Reply({"message": "not this"}, 400)
    with pytest.raises(
        EngineError, match="answered 400: not this; 0 of 1 prompts are answered and kept, the rest once this is mended"
    ) as caught:
        server.generate("a")
    assert "same command" not in str(caught.value)


def test_a_whole_number_is_a_log_probability(server: Server) -> None:
    server.reply = lambda body: Reply({"choices": [choice("a", logprobs={"content": [{"token": "a", "logprob": -2}]})]})
    assert [type(value) for value in server.generate("a")[0][0].logprobs] == [float]


def test_an_answer_without_end_is_not_read_to_its_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LARGEST", 2**20)
    server.reply = lambda body: Reply({"choices": [choice("a" * 2**21)]})
    with pytest.raises(EngineError, match=r"more than 1 MiB; lower sampling.num_samples or sampling.max_tokens"):
        server.generate("a")
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_the_key_is_sent_and_stands_in_no_message_no_log_and_no_file(
    server: Server, status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, workspace: Path
) -> None:
    monkeypatch.setenv("TEAM_KEY", f"{SECRET}\n")
    caplog.set_level(logging.DEBUG)
    engine = server.engine(api_key_env="TEAM_KEY", retries=1)
    engine.generate(["a"], ONE, 0)
    server.reply = lambda body: Reply({"error": {"message": f"Bearer {SECRET} may not"}}, status)
    with pytest.raises(EngineError) as caught:
        engine.generate(["b"], ONE, 0)
    engine.close()
    assert all(headers["Authorization"] == f"Bearer {SECRET}" for headers in server.headers)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in repr(error)
        error = error.__cause__ or error.__context__
    assert SECRET not in caplog.text + repr(vars(engine)) + repr(vars(engine.client)) + repr(engine.config)
    assert not any(SECRET.encode() in path.read_bytes() for path in workspace.rglob("*") if path.is_file())


def test_without_a_key_none_is_sent_and_what_is_no_key_is_refused_unseen(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.generate("a")
    assert "Authorization" not in server.headers[0]
    monkeypatch.setenv("OPENAI_API_KEY", f"{SECRET}\r\nX: y")
    with pytest.raises(ConfigError, match="the environment variable OPENAI_API_KEY holds no key") as caught:
        server.engine()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_this_machine_is_asked_without_a_proxy(server: Server, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert server.texts("a", retries=0) == ["a 0"]


def test_an_address_that_is_none_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"engine.base_url='http://here:99999' is no address"):
        Openai(OpenaiConfig(base_url="http://here:99999"), POLICY, "")


def test_it_works_in_a_thread_and_inside_a_loop_that_runs(server: Server) -> None:
    async def inside() -> list[str]:
        return server.texts("b")

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(server.texts, "a").result(WAIT) == ["a 0"]
    assert asyncio.run(inside()) == ["b 0"]


def test_a_policy_is_served_as_the_model_it_refers_to_or_by_its_md5_once_it_was_trained(tmp_path: Path) -> None:
    policy = Policy(role="learner", path=tmp_path.as_posix(), md5="2" * 32)
    assert served_name(policy) == policy.md5
    (tmp_path / "base.json").write_text('{"model": "Qwen/Qwen2.5-1.5B-Instruct"}')
    assert served_name(policy) == "Qwen/Qwen2.5-1.5B-Instruct"
    (tmp_path / "adapter_config.json").write_text("{}")
    assert served_name(policy) == policy.md5


def test_a_folder_that_takes_no_answers_is_said_before_anything_is_asked(server: Server, workspace: Path) -> None:
    (workspace / ".superalign").mkdir()
    (workspace / ".superalign/answers").write_text("a file")
    with pytest.raises(ArtifactError, match=r".superalign/answers/.* cannot be written: File exists; make it writable"):
        server.generate("a")
    assert server.asked == []


def test_no_prompts_are_no_requests(server: Server) -> None:
    assert server.generate() == []
    assert server.asked == []
