"""HTTP to a server that may be busy, broken or hostile: asked again where that may help, read only so far, its words cut."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import anyio
import httpx

from superalign.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from superalign.engines import OpenaiConfig

T = TypeVar("T")

LARGEST = 64 * 2**20
"""Bytes of an answer that are read."""
LONGEST = 60.0
"""Seconds waited before a request is asked again, at most; twice that where the server asks for it."""
QUOTED = 300
"""Characters of a server's message that are quoted."""
SHORTEST_KEY = 8
"""Characters of what counts as a key."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Passing(EngineError):
    """What may be well the next time: too many requests, a server's fault, a broken connection, an answer that cannot be read."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class Refused(EngineError):
    """What the server will refuse each time it is asked."""

    def __init__(self, message: str, status: int, said: str) -> None:
        super().__init__(message)
        self.status, self.said = status, said


class Client:
    """A server, known by its address; the key goes into a header of requests to it and nowhere else."""

    def __init__(self, config: OpenaiConfig) -> None:
        self.config = config
        self.url = config.base_url.rstrip("/")
        try:
            address = urlsplit(self.url)
            self.local = address.hostname in LOOPBACK
            address.port, httpx.URL(self.url)  # both complain of what they cannot read
        except (ValueError, httpx.InvalidURL) as error:
            raise ConfigError(f"engine.base_url={config.base_url!r} is no address: {error}") from error
        secret(config)
        self.jitter = random.Random(0)
        self.trusted = httpx.create_ssl_context()
        self.met = False
        self.hurry = anyio.Event()

    def connection(self) -> httpx.AsyncClient:
        """One connection, to be entered and left. Proxies are those of the environment, except to this machine.

        A client of httpx takes longer for each request the more connections it holds, so each of many is given one of its own.
        """
        key = secret(self.config)
        return httpx.AsyncClient(
            headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {}),
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            timeout=None,  # noqa: S113 - one limit for the whole request, in `_once`
            trust_env=not self.local,
            verify=self.trusted,
        )

    async def send(self, http: httpx.AsyncClient, route: str, body: dict[str, Any] | None, read: Callable[[bytes], T]) -> T:
        """What ``read`` makes of the answer to a POST, or to a GET where there is no body.

        Raises:
            Refused: The server will not answer this.
            EngineError: It did not, as often as it was asked; or nobody listens there.
        """
        for attempt in itertools.count():
            try:
                return read(await self._once(http, route, body))
            except Passing as error:
                if attempt >= self.config.retries or self.hurry.is_set():
                    raise EngineError(f"{error}, asked {attempt + 1} times") from error
                backoff = min(LONGEST, 2.0**attempt) * self.jitter.uniform(0.5, 1)
                await self.pause(max(backoff, min(error.wait, 2 * LONGEST)))
        raise AssertionError

    async def pause(self, seconds: float) -> None:
        """Waits, but no longer once there is hurry."""
        with anyio.move_on_after(seconds):
            await self.hurry.wait()

    async def _once(self, http: httpx.AsyncClient, route: str, body: dict[str, Any] | None) -> bytes:
        try:
            async with asyncio.timeout(self.config.timeout), self._request(http, route, body) as response:
                self.met = True
                content = await self._content(response)
        except TimeoutError as error:
            raise Passing(f"{self.url} gave no answer within timeout={self.config.timeout:g} seconds") from error
        except httpx.ConnectError as error:
            if not self.met:
                raise EngineError(f"no server is at {self.url} ({error}); start one, or give another base_url") from error
            raise Passing(f"{self.url} can no longer be reached ({error})") from error
        except httpx.TransportError as error:
            raise Passing(f"the connection to {self.url} broke ({str(error) or type(error).__name__})") from error
        if response.status_code == 200:
            return content
        raise self._complaint(response, content)

    def _request(
        self, http: httpx.AsyncClient, route: str, body: dict[str, Any] | None
    ) -> contextlib.AbstractAsyncContextManager[httpx.Response]:
        if body is None:
            return http.stream("GET", self.url + route)
        # dumps writes ASCII only, so that what no UTF-8 can hold still makes a request
        return http.stream("POST", self.url + route, content=json.dumps(body), headers={"Content-Type": "application/json"})

    async def _content(self, response: httpx.Response) -> bytes:
        content = bytearray()
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > LARGEST:
                raise EngineError(
                    f"{self.url} answered with more than {LARGEST >> 20} MiB; lower sampling.num_samples or sampling.max_tokens"
                )
        key = secret(self.config).encode()
        # some servers repeat the key; one shorter than this is a placeholder, and may be a word of an answer
        return bytes(content.replace(key, b"[key]") if len(key) >= SHORTEST_KEY else content)

    def _complaint(self, response: httpx.Response, content: bytes) -> EngineError:
        status, said = response.status_code, self._said(content)
        found = f"{self.url} answered {status}: {said}"
        if status in (408, 429) or status >= 500:
            return Passing(found, _wait(response.headers.get("Retry-After")))
        if status in (401, 403):
            return Refused(f"{found}; set the environment variable {self.config.api_key_env} to a key that may", status, said)
        return Refused(f"{found}; give as base_url what serves .../chat/completions" if status < 400 else found, status, said)

    def _said(self, content: bytes) -> str:
        """The server's message in one printable line."""
        text = content[: 16 * 2**10].decode(errors="replace")
        with contextlib.suppress(ValueError, RecursionError):
            said = json.loads(text)
            inner = said.get("error", said) if isinstance(said, dict) else said
            text = str(inner.get("message", inner) if isinstance(inner, dict) else inner)
        line = " ".join(text.split())[:QUOTED]
        return "".join(char if char.isprintable() else "?" for char in line) or "nothing"


def secret(config: OpenaiConfig) -> str:
    """The key in the environment, empty where there is none; ConfigError where it is no key."""
    key = os.environ.get(config.api_key_env, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"the environment variable {config.api_key_env} holds no key: it has characters that no header may have")
    return key


def _wait(value: str | None) -> float:
    """Seconds that a ``Retry-After`` asks for, given as such or as a date; 0 where it asks for none."""
    if value is None:
        return 0.0
    try:
        return float(value) if value.isdecimal() else (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
