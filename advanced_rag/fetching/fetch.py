"""Fetching a URL into a file, so that nobody gets at what only this machine can reach.

A name is looked up once for each hop, every address of it is checked, and the connection is made to a checked address: what
the name stands for a moment later does not matter. The host goes into the Host header and the TLS handshake all the same.
"""

import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import anyio
import httpx2
from anyio import CapacityLimiter, to_thread

from advanced_rag.config import FetchSettings
from advanced_rag.exceptions import (
    FetchDisabledError,
    FetchFailedError,
    FetchTimeoutError,
    FetchTooLargeError,
    UrlRefusedError,
)
from advanced_rag.fetching.addresses import Address, may_be_reached
from advanced_rag.fetching.names import file_name

Resolve = Callable[[str, int], Sequence[Address]]

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = {301, 302, 303, 307, 308}
_ENCODINGS = {"", "identity", "gzip", "deflate"}
_LOOKUPS_AT_ONCE = 8
_ADDRESSES_TRIED = 3
_HEADERS = {"user-agent": "advanced-rag", "accept": "*/*", "accept-encoding": "gzip, deflate"}
_UNKNOWN_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a URL gave: a harmless name for it, the media type its server says it has, and its size in bytes."""

    name: str
    media_type: str
    bytes: int


def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a host, in the order they should be tried; raises OSError, UnicodeError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(sockaddr[0]) for *_, sockaddr in found]


class Fetcher:
    """Fetches what the settings allow; ``resolve`` and ``tls`` are there for tests and for authorities of one's own."""

    def __init__(self, settings: FetchSettings, *, resolve: Resolve = resolve, tls: ssl.SSLContext | None = None) -> None:
        self._settings = settings
        self._resolve = resolve
        self._tls = tls or httpx2.create_ssl_context(trust_env=False)
        self._lookups = CapacityLimiter(_LOOKUPS_AT_ONCE)

    async def fetch(self, url: str, into: Path) -> Fetched:
        """Fetch a URL into a file, following redirects; a file that did not come whole is removed.

        Raises FetchDisabledError, UrlRefusedError, FetchFailedError, FetchTooLargeError, FetchTimeoutError.
        """
        if not self._settings.enabled:
            raise FetchDisabledError("fetching URLs is switched off (fetch.enabled)")
        with ExitStack() as stack:
            stack.callback(into.unlink, missing_ok=True)
            try:
                with anyio.fail_after(self._settings.timeout_s):
                    fetched = await self._follow(_parsed(url), into)
            except (TimeoutError, httpx2.TimeoutException) as error:
                raise FetchTimeoutError("the URL did not answer in time") from error
            except httpx2.HTTPError as error:
                raise FetchFailedError(f"the URL could not be fetched ({type(error).__name__})") from error
            stack.pop_all()
        return fetched

    async def _follow(self, url: httpx2.URL, into: Path) -> Fetched:
        for _ in range(self._settings.max_redirects + 1):
            async with self._answer(url) as response:
                if response.status_code not in _REDIRECTS or "location" not in response.headers:
                    return await self._save(response, url, into)
                url = _parsed(response.headers["location"], url)
        raise FetchFailedError(f"the URL redirects more than {self._settings.max_redirects} times")

    @asynccontextmanager
    async def _answer(self, url: httpx2.URL) -> AsyncIterator[httpx2.Response]:
        addresses = await self._addresses(url)
        own = self._settings
        timeout = httpx2.Timeout(own.timeout_s, connect=own.connect_timeout_s)
        # A client for each hop: no cookie and no connection, checked for another host, is used again.
        async with httpx2.AsyncClient(verify=self._tls, trust_env=False, timeout=timeout) as client:
            response = await _connected(client, url, addresses)
            try:
                yield response
            finally:
                await response.aclose()

    async def _addresses(self, url: httpx2.URL) -> list[Address]:
        host, port = _host(url), _PORTS[url.scheme] if url.port is None else url.port
        if port not in self._settings.ports:
            raise UrlRefusedError("the URL names a port that is not allowed (fetch.ports)")
        if self._settings.allowed_hosts and not any(_matches(host, item) for item in self._settings.allowed_hosts):
            raise UrlRefusedError("the URL names a host that is not allowed (fetch.allowed_hosts)")
        addresses = await self._look_up(host, port)
        if not all(may_be_reached(address, self._settings.allowed_networks) for address in addresses):
            raise UrlRefusedError("the URL leads to an address that is not public")
        return addresses

    async def _look_up(self, host: str, port: int) -> list[Address]:
        try:
            with anyio.fail_after(self._settings.connect_timeout_s):
                found = await to_thread.run_sync(self._resolve, host, port, limiter=self._lookups, abandon_on_cancel=True)
        except TimeoutError:
            raise
        except (OSError, UnicodeError) as error:
            raise FetchFailedError("the URL's host has no address") from error
        if not found:
            raise FetchFailedError("the URL's host has no address")
        return list(dict.fromkeys(found))

    async def _save(self, response: httpx2.Response, url: httpx2.URL, into: Path) -> Fetched:
        if response.status_code != httpx2.codes.OK:
            raise FetchFailedError(f"the URL answered with status {response.status_code}")
        if response.headers.get("content-encoding", "").strip().lower() not in _ENCODINGS:
            # What was compressed several times could keep the event loop busy without a single byte coming out.
            raise FetchFailedError("the URL answered in an encoding that was not asked for")
        size = 0
        async with await anyio.open_file(into, "wb") as file:
            async for part in response.aiter_bytes():
                size += len(part)
                if size > self._settings.max_bytes:
                    raise FetchTooLargeError(f"the URL has more than {self._settings.max_bytes} bytes (fetch.max_bytes)")
                await file.write(part)
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower() or _UNKNOWN_TYPE
        return Fetched(file_name(response.headers.get("content-disposition"), url.path), media_type, size)


def _parsed(text: str, base: httpx2.URL | None = None) -> httpx2.URL:
    try:
        url = base.join(text) if base is not None else httpx2.URL(text)
    except httpx2.InvalidURL:
        raise UrlRefusedError("this is no URL") from None
    if url.scheme not in _PORTS or not url.host:
        raise UrlRefusedError("only http and https URLs are fetched")
    if url.userinfo:
        raise UrlRefusedError("the URL holds credentials")
    return url


def _host(url: httpx2.URL) -> str:
    return url.raw_host.decode("ascii").rstrip(".")


def _matches(host: str, allowed: str) -> bool:
    suffix = allowed.lower().removeprefix("*")
    return host.endswith(suffix) if suffix != allowed.lower() else host == suffix


async def _connected(client: httpx2.AsyncClient, url: httpx2.URL, addresses: Sequence[Address]) -> httpx2.Response:
    """Send the request to the first address that takes the connection."""
    tried = addresses[:_ADDRESSES_TRIED]
    for address in tried:
        request = client.build_request(
            "GET",
            url.copy_with(host=str(address), fragment=None),
            headers={**_HEADERS, "host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": _host(url)},
        )
        try:
            return await client.send(request, stream=True)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            if address == tried[-1]:
                raise
    raise AssertionError("unreachable: there is an address")
