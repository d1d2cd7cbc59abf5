"""A URL is fetched from where it may lead, in bounded time and size, and from nowhere else."""

import asyncio
import gzip
import ssl
import threading
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from advanced_rag.config import FetchSettings, LoggingSettings
from advanced_rag.exceptions import (
    FetchDisabledError,
    FetchFailedError,
    FetchTimeoutError,
    FetchTooLargeError,
    RagError,
    UrlRefusedError,
)
from advanced_rag.fetching.addresses import Address
from advanced_rag.fetching.fetch import Fetched, Fetcher
from advanced_rag.telemetry.logs import logging_to_stderr
from tests.support.web import Web, page, redirect, serving

LOOPBACK = ["127.0.0.0/8"]
SECRET = "token-do-not-show"


def settings(*ports: int, **changed) -> FetchSettings:
    own = {"enabled": True, "ports": [*ports, 80, 443], "allowed_networks": LOOPBACK, "timeout_s": 20, **changed}
    return FetchSettings(**own)


class Names:
    """A resolver that gives each lookup of a name the next of its answers, and counts them."""

    def __init__(self, **answers: Sequence[str]) -> None:
        self._answers = {name.replace("_", "."): [text.split() for text in texts] for name, texts in answers.items()}
        self.lookups: list[str] = []

    def __call__(self, host: str, port: int) -> list[Address]:
        self.lookups.append(host)
        answers = self._answers[host]
        return [ip_address(text) for text in (answers.pop(0) if len(answers) > 1 else answers[0])]


def fetch(tmp_path: Path, scenario, **changed) -> tuple[Fetched, bytes]:
    """Run a scenario, which prepares the server and returns the URL, and fetch that URL."""

    async def run() -> Fetched:
        async with serving() as web:
            url = scenario(web)
            resolver = {"resolve": changed.pop("resolve")} if "resolve" in changed else {}
            return await Fetcher(settings(web.port, **changed), **resolver).fetch(url, tmp_path / "got")

    fetched = asyncio.run(run())
    return fetched, (tmp_path / "got").read_bytes()


def serves(answer, path: str = "/report.txt"):
    """Return a scenario of one page."""

    def scenario(web: Web) -> str:
        web.pages[path] = answer
        return f"http://127.0.0.1:{web.port}{path}"

    return scenario


def test_a_file_comes_with_its_name_type_and_size(tmp_path):
    answer = page(b"12 pumps", content_type="text/plain; charset=utf-8", content_disposition='inline; filename="a.txt"')
    fetched, content = fetch(tmp_path, serves(answer))
    assert (fetched, content) == (Fetched("a.txt", "text/plain", 8), b"12 pumps")


def test_nothing_is_fetched_unless_the_settings_say_so(tmp_path):
    with pytest.raises(FetchDisabledError):
        asyncio.run(Fetcher(FetchSettings()).fetch("http://example.org/", tmp_path / "got"))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/a",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "//example.org/a",
        "http:///a",
        "http://user:pw@example.org/",
        "http://example.org\\@127.0.0.1/",
        "http://①②⑦.0.0.1/",
        "http://h\n.org/",
        "",
    ],
)
def test_what_is_no_plain_web_address_is_refused(tmp_path, url):
    with pytest.raises(UrlRefusedError):
        asyncio.run(Fetcher(settings()).fetch(url, tmp_path / "got"))


@given(st.text(st.characters(codec="utf-8"), max_size=40), st.sampled_from(["", "http://", "https://[", "http://a:"]))
def test_no_text_makes_it_fail_in_another_way(tmp_path_factory, text, start):
    fetcher = Fetcher(settings(), resolve=lambda *_: [ip_address("10.0.0.1")])
    with pytest.raises(RagError):
        asyncio.run(fetcher.fetch(start + text, tmp_path_factory.getbasetemp() / "got"))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0177.1",
        "127.1",
        "0",
        "localhost",
        "localhost.",
        "127。0。0。1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "169.254.169.254",
        "10.0.0.1",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_no_notation_leads_to_what_is_not_public(tmp_path, host):
    fetcher = Fetcher(settings(allowed_networks=[]))
    with pytest.raises((UrlRefusedError, FetchFailedError), match=r"not public|has no address|is no URL"):
        asyncio.run(fetcher.fetch(f"http://{host}/", tmp_path / "got"))


def test_one_forbidden_address_of_a_name_is_enough(tmp_path):
    names = Names(both_example_org=["93.184.216.34 10.0.0.1"])
    with pytest.raises(UrlRefusedError, match="not public"):
        asyncio.run(Fetcher(settings(), resolve=names).fetch("http://both.example.org/", tmp_path / "got"))


def test_the_connection_goes_to_the_address_that_was_checked_and_names_the_host(tmp_path):
    names = Names(docs_example_org=["127.0.0.1", "10.0.0.1"])
    seen: list[Web] = []

    def scenario(web: Web) -> str:
        seen.append(web)
        web.pages["/a"] = page()
        return f"http://docs.example.org:{web.port}/a#part"

    assert fetch(tmp_path, scenario, resolve=names)[1] == b"hello"
    assert names.lookups == ["docs.example.org"]
    (head,) = seen[0].requests
    assert head.startswith("GET /a HTTP/1.1\r\n")
    assert f"host: docs.example.org:{seen[0].port}\r\n" in head.lower()


def test_an_address_that_does_not_answer_is_followed_by_the_next(tmp_path):
    def scenario(web: Web) -> str:
        web.pages["/a"] = page()
        return f"http://docs.example.org:{web.port}/a"

    assert fetch(tmp_path, scenario, resolve=Names(docs_example_org=["127.0.0.9 127.0.0.1"]))[1] == b"hello"


def test_a_name_that_turns_elsewhere_between_two_hops_is_checked_again(tmp_path):
    names = Names(rebinding_example_org=["127.0.0.1", "192.168.0.1"])

    def scenario(web: Web) -> str:
        web.pages["/a"] = redirect("/b")
        web.pages["/b"] = page(b"never")
        return f"http://rebinding.example.org:{web.port}/a"

    with pytest.raises(UrlRefusedError, match="not public"):
        fetch(tmp_path, scenario, resolve=names)
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:10.0.0.1]/",
        "http://0x0a000001/",
        "//192.168.1.1/",
        "file:///etc/passwd",
        "http://127.0.0.1:22/",
        "http://me:pw@127.0.0.1/",
    ],
)
def test_a_redirect_does_not_lead_where_a_url_may_not(tmp_path, location):
    with pytest.raises(UrlRefusedError):
        fetch(tmp_path, serves(redirect(location)))


def test_redirects_are_followed_so_often_and_no_more(tmp_path):
    def chain(web: Web) -> str:
        for n in range(3):
            web.pages[f"/{n}"] = redirect(f"/{n + 1}", "308 Permanent Redirect")
        web.pages["/3"] = page()
        return f"http://127.0.0.1:{web.port}/0"

    assert fetch(tmp_path, chain, max_redirects=3)[0].name == "3"
    with pytest.raises(FetchFailedError, match="more than 2 times"):
        fetch(tmp_path, chain, max_redirects=2)


def test_a_port_or_host_that_is_not_listed_is_refused(tmp_path):
    fetcher = Fetcher(settings(allowed_hosts=["docs.example.org", "*.example.com"]), resolve=lambda *_: [])
    for url in ("http://docs.example.org:8080/", "http://evil.org/", "http://example.com/", "http://notexample.com/"):
        with pytest.raises(UrlRefusedError):
            asyncio.run(fetcher.fetch(url, tmp_path / "got"))
    for url in ("http://docs.example.org/", "http://DOCS.example.ORG./", "https://a.b.example.com/"):
        with pytest.raises(FetchFailedError, match="no address"):
            asyncio.run(fetcher.fetch(url, tmp_path / "got"))


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content", "304 Not Modified"])
def test_only_a_page_that_is_there_is_taken(tmp_path, status):
    with pytest.raises(FetchFailedError, match=status[:3]):
        fetch(tmp_path, serves(page(b"", status)))
    assert not (tmp_path / "got").exists()


def test_a_body_without_end_is_cut_off(tmp_path):
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    with pytest.raises(FetchTooLargeError, match="more than 100000 bytes"):
        fetch(tmp_path, serves(endless), max_bytes=100_000)
    assert not (tmp_path / "got").exists()


def test_what_is_packed_counts_unpacked(tmp_path):
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(FetchTooLargeError):
        fetch(tmp_path, serves(page(bomb, content_encoding="gzip")), max_bytes=1_000_000)
    small = page(zlib.compress(b"12 pumps"), content_encoding="deflate")
    assert fetch(tmp_path, serves(small))[1] == b"12 pumps"


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd"])
def test_what_is_packed_otherwise_than_asked_for_is_not_unpacked(tmp_path, encoding):
    with pytest.raises(FetchFailedError, match="encoding"):
        fetch(tmp_path, serves(page(gzip.compress(b"x"), content_encoding=encoding)))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nno gz",
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 1000) for n in range(500)) + b"\r\n",
    ],
    ids=["cut off", "not packed", "not HTTP", "nothing", "headers without end"],
)
def test_what_comes_broken_fails_and_leaves_nothing(tmp_path, answer):
    with pytest.raises(FetchFailedError):
        fetch(tmp_path, serves(answer))
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1"])
def test_a_server_that_drips_is_left_when_the_time_is_over(tmp_path, start):
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(b"1" if start.startswith(b"HTTP") and b"\r\n\r\n" not in start else b"")
            await writer.drain()
            await asyncio.sleep(0.01)

    with pytest.raises(FetchTimeoutError):
        fetch(tmp_path, serves(drip), timeout_s=0.3)
    assert not (tmp_path / "got").exists()


def test_a_lookup_that_hangs_is_given_up_and_the_loop_goes_on(tmp_path):
    is_over = threading.Event()

    def hang(*_) -> list[Address]:
        is_over.wait(10)
        return []

    async def run() -> int:
        turns = 0
        wanted = asyncio.create_task(
            Fetcher(settings(connect_timeout_s=0.2), resolve=hang).fetch("http://slow.org/", tmp_path / "got")
        )
        while not wanted.done():
            await asyncio.sleep(0)
            turns += 1
        is_over.set()
        with pytest.raises(FetchTimeoutError):
            await wanted
        return turns

    assert asyncio.run(run()) > 10


def test_proxies_of_the_environment_are_not_asked(tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetch(tmp_path, serves(page()))[1] == b"hello"


def test_a_certificate_is_checked_for_the_host_and_not_for_the_address(tmp_path):
    server, client = certified("docs.example.org", tmp_path)

    async def run(host: str) -> Fetched:
        async with serving(server) as web:
            web.pages["/a"] = page()
            fetcher = Fetcher(settings(web.port), resolve=lambda *_: [ip_address("127.0.0.1")], tls=client)
            return await fetcher.fetch(f"https://{host}:{web.port}/a", tmp_path / "got")

    assert asyncio.run(run("docs.example.org")).bytes == 5
    with pytest.raises(FetchFailedError, match="ConnectError"):
        asyncio.run(run("other.example.org"))


def certified(host: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server of a host and a client that trusts it need."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    moment = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    own = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(own + certificate.public_bytes(pem))
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(folder / "server.pem")
    return server, ssl.create_default_context(cadata=certificate.public_bytes(pem).decode())


@pytest.mark.parametrize("answer", [page(), page(b"", "500 Oops"), redirect(f"http://10.0.0.1/?{SECRET}")])
def test_no_url_reaches_the_log_or_an_error(tmp_path, capfd, answer):
    def scenario(web: Web) -> str:
        web.pages["/a"] = answer
        return f"http://127.0.0.1:{web.port}/a?key={SECRET}"

    message = ""
    with logging_to_stderr(LoggingSettings(level="debug")):
        try:
            fetch(tmp_path, scenario)
        except RagError as error:
            message = error.message
    assert SECRET not in message + capfd.readouterr().err
