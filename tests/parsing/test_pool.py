"""A file harms nothing but itself: processes are limited, replaced, and take nothing along."""

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from PIL import Image

from advanced_rag.config import ParsingSettings
from advanced_rag.exceptions import OverloadedError, RagError
from advanced_rag.file_errors import UnrenderableError
from advanced_rag.parsing.pool import ParserPool
from tests.support.files import make_docx, make_image, make_pdf, make_scan, paragraph

WAIT_S = 30
ALLOWED = {"advanced_rag", "exceptions", "file_errors", "models", "config", "parsing"}


def run(use: Callable[[ParserPool], Awaitable[None]], **settings: object) -> None:
    async def main() -> None:
        pool = ParserPool(ParsingSettings.model_validate({"processes": 1, **settings}))
        try:
            async with asyncio.timeout(4 * WAIT_S):
                await use(pool)
        finally:
            await pool.close()
        assert children() == []

    asyncio.run(main())


def children() -> list[psutil.Process]:
    """Return the processes that read files for this test: another pool may be open in this process."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if child not in of_others and "advanced_rag.parsing.child" in child.cmdline()]


of_others: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def notice_others() -> None:
    of_others.update(psutil.Process().children(recursive=True))


async def code(pool: ParserPool, path: Path) -> str:
    with pytest.raises(RagError) as raised:
        await pool.parse(path, path.name)
    return raised.value.code


async def opened(pipe: Path) -> None:
    """Wait until a process has opened a named pipe; from then on it reads a file that does not end."""
    while True:
        try:
            os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)  # stays open: nothing comes, and no end
        except OSError:  # nobody reads yet
            await asyncio.sleep(0.01)
        else:
            return


async def ended(child: psutil.Process) -> None:
    """Wait until a process is gone and the event loop has heard of it."""
    is_gone = False
    while not is_gone:
        is_gone = not psutil.pid_exists(child.pid)
        await asyncio.sleep(0.01)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.docx"
    path.write_bytes(make_docx(paragraph("Travel", 1) + paragraph("Rules")))
    return path


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    path = tmp_path / "endless.txt"
    os.mkfifo(path)
    return path


def test_files_are_read_side_by_side_and_come_back_whole(tmp_path, good):
    pdf = tmp_path / "pages.pdf"
    pdf.write_bytes(make_pdf([("One", "first page"), (None, "second page")]))

    async def use(pool: ParserPool) -> None:
        one, two = await asyncio.gather(pool.parse(good, "good.docx"), pool.parse(pdf, "pages.pdf"))
        assert (one.text, one.pages) == ("# Travel\n\nRules", ())
        assert [page.number for page in two.pages] == [1, 2]
        assert two.features[0].characters > 0

    run(use, processes=2)


def test_pages_are_drawn_one_by_one(tmp_path):
    pdf, png = tmp_path / "pages.pdf", tmp_path / "picture.png"
    pdf.write_bytes(make_pdf([(None, "first page"), (None, "second page")]))
    png.write_bytes(make_image("a picture", "PNG"))

    async def use(pool: ParserPool) -> None:
        first, second = [await pool.render(pdf, "application/pdf", number, 200) for number in (0, 1)]
        picture = await pool.render(png, "image/png", 0, 200)
        assert [Image.open(io.BytesIO(item)).format for item in (first, second, picture)] == ["JPEG"] * 3
        assert max(Image.open(io.BytesIO(first)).size) == 200
        assert first != second
        for path, media_type, number in ((pdf, "application/pdf", 2), (png, "image/png", 1), (pdf, "image/png", 0)):
            with pytest.raises(UnrenderableError):
                await pool.render(path, media_type, number, 200)
        assert (await pool.parse(pdf, "pages.pdf")).text

    run(use)


def test_a_look_leaves_pictures_unread(tmp_path):
    scan = tmp_path / "scan.pdf"
    scan.write_bytes(make_scan(["Travel rules"]))

    async def use(pool: ParserPool) -> None:
        found = await pool.parse(scan, "scan.pdf", "look")
        assert (found.kind, found.text, found.has_unread, len(found.pages)) == ("scanned", "", True, 1)
        with pytest.raises(RagError, match="character recognition"):
            await pool.parse(scan, "scan.pdf", "text")

    run(use)


def test_a_refusal_crosses_as_its_code(tmp_path):
    bad = tmp_path / "bad.pdf"
    bad.write_bytes(b"%PDF-1.7 secret words")

    async def use(pool: ParserPool) -> None:
        with pytest.raises(RagError) as raised:
            await pool.parse(bad, "bad.pdf")
        assert raised.value.code == "corrupt_file"
        assert "secret" not in str(raised.value)

    run(use)


def test_a_file_that_hangs_fails_alone(endless, good):
    async def use(pool: ParserPool) -> None:
        assert await code(pool, endless) == "parser_timeout"
        assert (await pool.parse(good, "good.docx")).text

    run(use, timeout_s=3)


def test_a_file_that_computes_without_end_fails_alone(tmp_path, good):
    heavy = tmp_path / "heavy.html"
    heavy.write_bytes(b"<p>" + b"<b>x</b> <i>y</i> " * 1_500_000)

    async def use(pool: ParserPool) -> None:
        assert await code(pool, heavy) == "parser_timeout"
        assert (await pool.parse(good, "good.docx")).text

    run(use, cpu_s=1, memory_mb=8192, timeout_s=WAIT_S)


def test_a_file_that_takes_all_memory_fails_alone(tmp_path, good):
    huge = tmp_path / "huge.txt"
    with huge.open("wb") as file:
        file.truncate(1 << 31)

    async def use(pool: ParserPool) -> None:
        assert await code(pool, huge) == "parser_out_of_memory"
        assert (await pool.parse(good, "good.docx")).text

    run(use, memory_mb=256)


@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGSEGV, "parser_crashed"), (signal.SIGKILL, "parser_out_of_memory")]
)
def test_a_process_that_dies_takes_its_file_along_and_no_other(endless, good, number, expected):
    async def use(pool: ParserPool) -> None:
        reading = asyncio.create_task(code(pool, endless))
        await opened(endless)
        (child,) = children()
        child.send_signal(number)
        assert await reading == expected
        assert (await pool.parse(good, "good.docx")).text

    run(use)


def test_a_process_that_dies_while_it_waits_takes_no_file_along(good):
    async def use(pool: ParserPool) -> None:
        await pool.parse(good, "good.docx")
        (child,) = children()
        child.kill()
        await ended(child)
        assert (await pool.parse(good, "good.docx")).text

    run(use)


def test_where_no_process_can_be_started_files_wait(good, monkeypatch):
    async def use(pool: ParserPool) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(sys, "executable", str(good.with_name("nowhere")))
            assert await code(pool, good) == "overloaded"
        assert (await pool.parse(good, "good.docx")).text

    run(use)


def test_cancelling_ends_the_process(endless, good):
    async def use(pool: ParserPool) -> None:
        reading = asyncio.create_task(pool.parse(endless, "endless.txt"))
        await opened(endless)
        assert len(children()) == 1
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert children() == []
        assert (await pool.parse(good, "good.docx")).text

    run(use)


def test_a_process_is_replaced_after_some_files(good):
    async def use(pool: ParserPool) -> None:
        seen: list[list[int]] = []
        for _ in range(5):
            await pool.parse(good, "good.docx")
            seen.append([child.pid for child in children()])
        assert seen[0] == seen[1] != []
        assert seen[2] == []
        assert seen[3] not in ([], seen[0])

    run(use, files_per_process=3)


def test_a_pool_that_is_closed_leaves_no_process(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("Herons stand still.")

    async def use(pool: ParserPool) -> None:
        reading = [asyncio.create_task(pool.parse(file, file.name)) for _ in range(3)]  # one starts a process, two wait
        await asyncio.sleep(0)
        await pool.close()
        for outcome in await asyncio.gather(*reading, return_exceptions=True):
            assert isinstance(outcome, OverloadedError)

    run(use)


def test_more_files_than_may_wait_are_turned_away(endless, good):
    async def use(pool: ParserPool) -> None:
        reading = asyncio.create_task(pool.parse(endless, "endless.txt"))
        await opened(endless)
        waiting = asyncio.create_task(pool.parse(good, "good.docx"))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await pool.parse(good, "good.docx")
        reading.cancel()
        assert (await waiting).text

    run(use, queue=1)


def test_interrupts_are_not_for_the_process(endless):
    async def use(pool: ParserPool) -> None:
        reading = asyncio.create_task(code(pool, endless))
        await opened(endless)
        (child,) = children()
        child.send_signal(signal.SIGINT)
        assert await reading == "parser_timeout"

    run(use, timeout_s=3)


def test_a_process_takes_neither_secrets_nor_connections_along(endless, monkeypatch):
    monkeypatch.setenv("RAG_AUTH__SECRET", "hunter2-do-not-show")

    async def use(pool: ParserPool) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            os.set_inheritable(listener.fileno(), False)
            reading = asyncio.create_task(code(pool, endless))
            await opened(endless)
            (child,) = children()
            assert "RAG_AUTH__SECRET" not in child.environ()
            assert child.net_connections("inet") == []
            child.kill()
            await reading

    run(use)


def test_a_process_loads_nothing_of_the_service():
    program = "import sys, advanced_rag.parsing.child; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()
    own = {name.split(".")[1] if "." in name else name for name in loaded if name.split(".")[0] == "advanced_rag"}
    assert own <= ALLOWED
    assert {"fastapi", "sqlalchemy", "numpy", "trafilatura", "pptx", "pypdfium2"}.isdisjoint(loaded)


PARENT = """
import asyncio, sys
from pathlib import Path
from advanced_rag.config import ParsingSettings
from advanced_rag.file_errors import UnrenderableError
from advanced_rag.parsing.pool import ParserPool
asyncio.run(ParserPool(ParsingSettings()).parse(Path(sys.argv[1]), "endless.txt"))
"""


def test_processes_end_with_the_service_even_when_it_is_killed(endless):
    with subprocess.Popen([sys.executable, "-c", PARENT, str(endless)]) as parent:
        asyncio.run(asyncio.wait_for(opened(endless), WAIT_S))
        (child,) = psutil.Process(parent.pid).children()
        parent.kill()
        child.wait(WAIT_S)
