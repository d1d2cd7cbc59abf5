"""Files come in over POST /v1/ingest: streamed, bounded, read in the background, found at page and heading."""

import asyncio
import errno
import json
import tempfile

import pytest

from advanced_rag.config import UploadSettings
from tests.support.files import make_pdf
from tests.support.live import LiveService
from tests.support.service import INGEST

MARKDOWN = b"# Moorings\n\nBoats moor at the %s quay for two nights at most.\n"


def upload(service: LiveService, *files: tuple[str, bytes], wait: bool = True, headers: dict | None = None, **fields):
    parts = [("files", (name, content)) for name, content in files]
    path = INGEST if wait else "/v1/ingest"
    return service.request("POST", path, files=parts, data=fields, headers=headers or {})


def ingested(service: LiveService, *files: tuple[str, bytes], **fields) -> list[dict]:
    answer = upload(service, *files, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()["documents"]


def found(service: LiveService, query: str, **more) -> dict:
    return service.post("/v1/retrieve", query=query, top_k=1, **more).json()["hits"][0]


def kept(service: LiveService) -> list[str]:
    folder = service.container.settings.files_folder
    return sorted(path.name for path in folder.glob("*/*"))


def problem(answer, status: int, code: str) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
    return answer.json()["error"]


def test_files_are_found_at_their_page_and_heading(service):
    pages = [("Tides", "Spring tides come twice a month."), ("Lamps", "Harbour lamps burn whale oil no longer.")]
    ingested(service, ("almanac.pdf", make_pdf(pages)), ("rules.md", MARKDOWN % b"western"))
    lamp = found(service, "what do harbour lamps burn")
    assert (lamp["title"], lamp["page"], lamp["headings"]) == ("almanac", 2, ["Lamps"])
    boat = found(service, "how long may boats moor at the western quay")
    assert (boat["title"], boat["headings"]) == ("Moorings", ["Moorings"])


def test_the_answer_says_where_to_ask_what_becomes_of_each_file(service):
    answer = upload(service, ("a.txt", b"Eels cross the weir at dusk."), wait=False)
    assert answer.status_code == 202
    (document,) = answer.json()["documents"]
    assert document["status"] == "queued"
    assert document["status_url"] == f"/v1/jobs/{document['job_id']}"
    assert document["events_url"] == f"/v1/jobs/{document['job_id']}/events"
    job = service.get(document["status_url"]).json()
    assert (job["job_id"], job["document_id"]) == (document["job_id"], document["document_id"])
    assert job["status"] in {"queued", "running", "ready"}


def test_senders_say_what_a_file_is(service):
    told = [{"id": "weir", "title": "The weir", "metadata": {"river": "Aire"}, "domain": "general"}, {}]
    ingested(
        service, ("x.txt", b"Salmon leap the weir."), ("named.txt", b"Otters fish at night."), documents=json.dumps(told)
    )
    weir = service.get("/v1/documents/weir").json()
    assert (weir["title"], weir["metadata"], weir["domain"]) == ("The weir", {"river": "Aire"}, "general")
    assert found(service, "salmon leap", filters={"river": "Aire"})["document_id"] == "weir"


def test_what_is_there_already_is_not_read_again(service):
    (first,) = ingested(service, ("same.txt", b"Lapwings nest in the meadow."))
    (second,) = ingested(service, ("copy.txt", b"Lapwings nest in the meadow."))
    assert (first["status"], second["status"]) == ("created", "unchanged")
    assert (second["id"], second["version"], second["chunks"]) == (first["id"], first["version"], first["chunks"])
    (taken,) = upload(service, ("same.txt", b"Lapwings nest in the meadow."), wait=False).json()["documents"]
    assert taken["status"] == "unchanged"
    assert service.get(taken["status_url"]).json()["status"] == "ready"


def test_the_same_file_sent_twice_is_one_document(service):
    first, second = ingested(service, ("a.txt", b"Plovers feign a wing."), ("a.txt", b"Plovers feign a wing."))
    assert first == second
    assert kept(service) == []


def test_a_file_replaces_what_its_document_was(service):
    told = json.dumps([{"id": "menu"}])
    ingested(service, ("menu.txt", b"Today there is turbot."), documents=told)
    (second,) = ingested(service, ("menu.txt", b"Today there is gurnard."), documents=told)
    assert (second["status"], second["version"]) == ("replaced", 2)
    assert service.get("/v1/documents/menu").json()["text"] == "Today there is gurnard."


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.txt", b"", "empty_file"),
        ("blank.txt", b" \n\n ", "no_text"),
        ("secret.pdf", make_pdf([(None, "secret")], password="x"), "encrypted_file"),
        ("torn.pdf", make_pdf([(None, "torn")])[:300], "corrupt_file"),
        ("program.pdf", b"MZ" + bytes(range(256)) * 20, "type_mismatch"),
    ],
)
def test_a_file_that_cannot_be_read_fails_alone_and_says_why(service, name, content, code):
    answer = ingested(service, (name, content), ("good.txt", f"Good beside {name}.".encode()))
    assert (answer[0]["status"], answer[0]["error"]["code"]) == ("failed", code)
    assert answer[1]["status"] == "created"


def test_no_file_is_left_behind(service):
    ingested(service, ("a.txt", b"Read and then gone."), ("b.txt", b""), ("c.txt", b"Read, then gone."))
    assert kept(service) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\boot.ini", "/etc/shadow", "a\u202efdp.exe.txt", ""])
def test_what_a_client_calls_a_file_is_no_path(service, name):
    (document,) = ingested(service, (name or " ", f"A file called {name!r}.".encode()))
    title = service.get(f"/v1/documents/{document['id']}").json()["title"]
    assert not set(title) & {"/", "\\", "\u202e"}
    assert kept(service) == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"documents": "[{}, {}]"}, "documents"),
        ({"documents": '[{"nonsense": 1}]'}, "documents.0.nonsense"),
        ({"documents": '[{"domain": "elsewhere"}]'}, "documents.0.domain"),
        ({"other": "x"}, "other"),
    ],
)
def test_what_is_wrong_with_a_request_is_named_and_no_file_is_kept(service, fields, field):
    error = problem(upload(service, ("a.txt", b"Nothing comes of it."), **fields), 422, "invalid_request")
    assert error["field_errors"][0]["field"].removeprefix("body.") == field
    assert kept(service) == []


def test_a_request_has_files_and_files_are_files(service):
    form = {"content-type": "multipart/form-data; boundary=x"}
    empty = b'--x\r\ncontent-disposition: form-data; name="documents"\r\n\r\n[]\r\n--x--\r\n'
    problem(service.request("POST", "/v1/ingest", content=empty, headers=form), 422, "invalid_request")
    text = b'--x\r\ncontent-disposition: form-data; name="files"\r\n\r\nno file\r\n--x--\r\n'
    problem(service.request("POST", "/v1/ingest", content=text, headers=form), 422, "invalid_request")
    unbounded = {"content-type": "multipart/form-data"}
    problem(service.request("POST", "/v1/ingest", content=b"--x\r\n", headers=unbounded), 400, "malformed_form")
    problem(
        service.request("POST", "/v1/ingest", content=b"", headers={"content-type": "text/plain"}),
        415,
        "unsupported_media_type",
    )


def test_files_beyond_the_limits_are_refused(data_dir):
    uploads = UploadSettings(max_file_bytes=1000, max_files=2, max_body_bytes=5000)
    with LiveService(data_dir, uploads=uploads) as service:
        problem(upload(service, ("a.txt", b"x" * 1001)), 413, "body_too_large")
        problem(upload(service, *[(f"{n}.txt", b"x") for n in range(3)]), 413, "body_too_large")
        problem(upload(service, ("a.txt", b"x" * 6000)), 413, "body_too_large")
        assert kept(service) == []


def test_a_disk_that_is_full_is_no_fault_of_the_service(service, monkeypatch):
    def full(*_arguments) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", full)
    answer = upload(service, ("a.txt", b"x" * 2_000_000))
    problem(answer, 503, "file_store_unavailable")
    assert answer.headers["Retry-After"]
    assert kept(service) == []


def test_the_same_request_gets_the_same_answer(service):
    headers = {"Idempotency-Key": "order 1"}
    first = upload(service, ("k.txt", b"Knots are tied twice."), wait=False, headers=headers).json()["documents"]
    again = upload(service, ("k.txt", b"Knots are tied twice."), wait=False, headers=headers).json()["documents"]
    assert first == again
    other = upload(service, ("k.txt", b"Knots are tied thrice."), wait=False, headers=headers)
    problem(other, 409, "idempotency_key_reused")
    (waited,) = ingested(service, ("k.txt", b"Knots are tied twice."), headers=headers)
    assert (waited["id"], waited["status"], waited["version"]) == (first[0]["document_id"], "created", 1)
    assert kept(service) == []


def test_the_same_texts_with_one_key_are_taken_once_however_often_they_come_at_once(service):
    async def send(number: int):
        body = {"documents": [{"id": "once", "text": "Herons stand still."}]}
        return await service._http.request("POST", "/v1/ingest", json=body, headers={"Idempotency-Key": "herons"})

    async def together():
        return await asyncio.gather(*(send(number) for number in range(8)))

    answers = service.run(together())
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["documents"][0]["job_id"] for answer in answers}) == 1
    reused = service.request(
        "POST", "/v1/ingest", json={"documents": [{"id": "two", "text": "x"}]}, headers={"Idempotency-Key": "herons"}
    )
    problem(reused, 409, "idempotency_key_reused")


def test_texts_are_finished_in_the_background_too(service):
    taken = service.post("/v1/ingest", documents=[{"id": "later", "text": "Sandpipers run along the tide line."}])
    assert taken.status_code == 202
    (document,) = taken.json()["documents"]
    again = service.request(
        "POST",
        INGEST,
        json={"documents": [{"id": "later2", "text": "Turnstones turn stones."}]},
        headers={"Idempotency-Key": "z"},
    )
    assert (again.status_code, again.json()["documents"][0]["status"]) == (200, "created")
    job = service.get(document["status_url"]).json()
    assert job["status"] in {"ready", "running", "queued"}


def test_addresses_are_not_fetched_unless_the_settings_say_so(service):
    problem(service.post("/v1/ingest", url="https://example.org/a.pdf"), 422, "fetch_disabled")
    problem(service.post("/v1/ingest", url="https://example.org/a.pdf", documents=[{"text": "x"}]), 422, "invalid_request")
    problem(service.post("/v1/ingest"), 422, "invalid_request")
