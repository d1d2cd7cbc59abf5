"""Jobs as their owners see them: listed, followed, cancelled, tried again; nobody sees another's."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from advanced_rag.config import AuthSettings, JobSettings
from advanced_rag.exceptions import DatabaseUnavailableError, EncoderError, SlowConsumerError, VectorStoreError
from advanced_rag.fetching.fetch import Fetched
from advanced_rag.file_errors import NoTextError
from advanced_rag.storage.jobs import JobRepository
from tests.conftest import make_data_dir, make_database
from tests.support.files import make_pdf
from tests.support.live import LiveService
from tests.support.service import INGEST


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def without_workers(request, tmp_path_factory, prepared_encoders: Path) -> Iterator[LiveService]:
    """A service whose jobs are run by nobody but the test."""
    url = make_database(request.getfixturevalue("postgres")) if request.param == "postgresql" else None
    data_dir = make_data_dir(tmp_path_factory.mktemp("jobs") / "data", prepared_encoders)
    jobs = JobSettings(embedded=False, max_attempts=2, max_retakes=1, lease_s=60)
    with LiveService(data_dir, url, jobs=jobs) as service:
        yield service


@pytest.fixture
def idle(without_workers: LiveService) -> Iterator[LiveService]:
    """The same, with its index whole again and no job left after each test."""
    add = without_workers.container.index.add
    yield without_workers
    without_workers.container.index.add = add
    due_now(without_workers)
    run_due(without_workers)


def queue(
    service: LiveService, name: str = "a.txt", content: bytes | None = None, priority: str = "normal", **headers
) -> dict:
    content = content or f"Curlews call at night, {uuid.uuid4()}.".encode()
    parts, told = [("files", (name, content))], {"documents": json.dumps([{"priority": priority}])}
    answer = service.request("POST", "/v1/ingest", files=parts, data=told, headers=headers)
    (document,) = answer.json()["documents"]
    return document


def job(service: LiveService, document: dict) -> dict:
    return service.get(document["status_url"]).json()


def kept(service: LiveService) -> list[Path]:
    return list(service.container.settings.files_folder.glob("*/*"))


def run_due(service: LiveService) -> int:
    return service.run(service.container.worker.run_due())


def due_now(service: LiveService) -> None:
    """Let what was postponed be due."""

    def change(transaction) -> None:
        transaction.connection.exec_driver_sql("UPDATE jobs SET run_after = 0")

    service.run(service.container.database.write_across(change))


def events(service: LiveService, document: dict, query: str = "", **headers) -> list[dict]:
    answer = service.request("GET", document["events_url"] + query, headers=headers)
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]


def test_a_job_goes_through_every_stage_and_tells_so(idle):
    document = queue(idle, "tides.pdf", make_pdf([(None, "Spring tides come twice a month."), (None, "Neap tides too.")]))
    assert (job(idle, document)["status"], job(idle, document)["stage"]) == ("queued", "received")
    run_due(idle)
    after = job(idle, document)
    assert (after["status"], after["stage"], after["progress"], after["attempts"]) == ("ready", "ready", 1.0, 1)
    told = events(idle, document)
    assert [(item["stage"], item["at"]) for item in after["stages"]] == [(event["stage"], event["at"]) for event in told]
    stages = [event["stage"] for event in told]
    assert stages == ["received", "received", "parsed", "classified", "chunked", "embedded", "indexed", "ready"]
    assert [event["status"] for event in told] == ["queued", *["running"] * 6, "ready"]
    assert [event["progress"] for event in told] == sorted(event["progress"] for event in told)
    assert told[2]["data"]["pages"] == 2


def test_who_comes_back_with_a_cursor_misses_nothing_and_hears_nothing_twice(idle):
    document = queue(idle)
    run_due(idle)
    told = events(idle, document)
    cursor = told[3]["cursor"]
    assert events(idle, document, f"?cursor={cursor}") == told[4:]
    assert events(idle, document, **{"Last-Event-ID": str(cursor)}) == told[4:]


def test_a_stream_ends_for_good_with_its_job(idle):
    document = queue(idle)
    run_due(idle)
    last = events(idle, document)[-1]["cursor"]
    again = idle.request("GET", document["events_url"], headers={"Last-Event-ID": str(last)})
    assert (again.status_code, again.content) == (204, b"")


@pytest.mark.parametrize("cursor", ["9" * 30, "-1", "yesterday"])
def test_a_cursor_is_a_number_no_larger_than_any_there_can_be(idle, cursor):
    document = queue(idle)
    for sent in ({"headers": {"Last-Event-ID": cursor}}, {"params": {"cursor": cursor}}):
        assert idle.request("GET", document["events_url"], **sent).status_code == 422


def test_what_cuts_a_stream_off_is_told_as_json(idle):
    document, feed = queue(idle), idle.container.feed
    follow = feed.follow

    async def cut_off(*_arguments, **_more):
        raise SlowConsumerError("too slow")
        yield

    feed.follow = cut_off
    answer = idle.get(document["events_url"]).text
    feed.follow = follow
    data = next(line.removeprefix("data: ") for line in answer.splitlines() if line.startswith("data: "))
    assert json.loads(data)["error"]["code"] == "slow_consumer"


def test_a_queued_job_is_cancelled_and_nothing_of_it_is_left(idle):
    document = queue(idle)
    cancelled = idle.post(f"{document['status_url']}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert run_due(idle) == 0
    assert idle.get(f"/v1/documents/{document['document_id']}").status_code == 404
    assert kept(idle) == []
    assert idle.post(f"{document['status_url']}/cancel").status_code == 409
    assert events(idle, document)[-1]["status"] == "cancelled"


def test_a_job_that_is_cancelled_while_it_runs_changes_nothing_any_more(idle):
    document = queue(idle)

    async def cancelled_meanwhile() -> None:
        add = idle.container.index.add

        async def cancel_first(*arguments) -> None:
            await add(*arguments)
            await idle._http.request("POST", f"{document['status_url']}/cancel")

        idle.container.index.add = cancel_first
        await idle.container.worker.run_due(("ingest",))
        idle.container.index.add = add

    idle.run(cancelled_meanwhile())
    assert job(idle, document)["status"] == "cancelled"
    assert idle.get(f"/v1/documents/{document['document_id']}").status_code == 404
    due_now(idle)
    run_due(idle)
    assert idle.post("/v1/index/verify", repair=False).json()["agrees"]


def test_a_file_that_was_taken_is_not_lost_with_the_request_that_brought_it(idle):
    desk, asked = idle.container.jobs, asyncio.Event()
    wait = desk.wait

    async def wait_forever(*_arguments) -> None:
        asked.set()
        await asyncio.Event().wait()

    async def cut_off() -> None:
        desk.wait = wait_forever
        request = asyncio.create_task(idle._http.request("POST", INGEST, files=[("files", ("a.txt", b"Taken in time."))]))
        await asked.wait()
        request.cancel()
        await asyncio.wait({request})
        desk.wait = wait

    idle.run(cut_off())
    assert run_due(idle) == 1
    assert idle.get("/v1/jobs?limit=1").json()["jobs"][0]["status"] == "ready"


def test_a_file_stays_where_it_is_not_known_whether_it_was_taken(idle):
    ingest = idle.container.ingest
    queue_really = ingest.queue

    async def lose_the_answer(*arguments) -> None:
        await queue_really(*arguments)
        raise DatabaseUnavailableError("the connection broke after the commit")

    ingest.queue = lose_the_answer
    refused = idle.request("POST", "/v1/ingest", files=[("files", ("a.txt", b"Taken all the same."))])
    ingest.queue = queue_really
    assert refused.status_code == 503
    assert run_due(idle) == 1
    assert idle.get("/v1/jobs?limit=1").json()["jobs"][0]["status"] == "ready"


def test_who_repeats_a_request_and_waits_is_answered_although_its_job_is_gone(idle):
    headers = {"Idempotency-Key": "purged"}
    document = queue(idle, content=b"Nothing is left of this.", **headers)
    failing(idle, EncoderError("cannot"))
    for _ in range(2):
        run_due(idle)
        due_now(idle)
    idle.request("DELETE", "/v1/jobs/dead")
    again = idle.request("POST", INGEST, files=[("files", ("a.txt", b"Nothing is left of this."))], headers=headers)
    assert (again.status_code, again.json()["documents"]) == (202, [document])


def test_the_same_address_with_one_key_is_asked_once(idle):
    fetched = []

    async def fetch(_url, path):
        fetched.append(path)
        path.write_bytes(f"What is there now, {uuid.uuid4()}.".encode())
        return Fetched("page.txt", "text/plain", 1)

    fetcher = idle.container.fetcher
    fetcher.fetch = fetch
    body, headers = {"url": "https://example.org/page.txt"}, {"Idempotency-Key": "address"}
    first, again = (idle.request("POST", "/v1/ingest", json=body, headers=headers) for _ in range(2))
    other = idle.request("POST", "/v1/ingest", json={"url": "https://example.org/other"}, headers=headers)
    del fetcher.fetch
    assert (first.status_code, first.json()["documents"]) == (202, again.json()["documents"])
    assert (other.status_code, len(fetched)) == (409, 1)


def test_nothing_is_told_of_a_job_after_its_end(idle):
    document = queue(idle)

    async def cancelled_before_it_began() -> None:
        worker = idle.container.worker
        claimed = await worker._claim(("ingest",))
        await idle._http.request("POST", f"{document['status_url']}/cancel")
        await worker._run(claimed)

    idle.run(cancelled_before_it_began())
    assert [event["status"] for event in job(idle, document)["stages"]] == ["queued", "cancelled"]


def test_who_lost_a_job_leaves_its_file_to_who_has_it_now(idle):
    document = queue(idle)
    database = idle.container.database

    async def lose_it_and_fail(*_arguments) -> None:
        await database.write_across(lambda c: c.connection.exec_driver_sql("UPDATE jobs SET lease_until = 0"))
        await database.write_across(lambda c: JobRepository(c, "quicker").claim(1, 60))
        raise NoTextError

    idle.container.index.add = lose_it_and_fail
    run_due(idle)
    assert job(idle, document)["status"] == "running"
    assert (idle.container.settings.files_folder / "default" / document["job_id"]).exists()
    idle.post(f"{document['status_url']}/cancel")


def test_a_service_that_starts_alone_removes_what_a_crash_left_and_keeps_what_waits(data_dir):
    settings = {"jobs": JobSettings(embedded=False)}
    with LiveService(data_dir, **settings) as service:
        waits = queue(service)
        left = service.container.settings.files_folder / "default" / str(uuid.uuid4())
        left.write_bytes(b"Its job ended, and the process before it was removed.")
    with LiveService(data_dir, **settings) as service:
        assert [path.name for path in kept(service)] == [waits["job_id"]]


def test_a_file_that_is_not_to_be_found_is_no_fault_of_the_file(idle):
    document = queue(idle)
    file = idle.container.settings.files_folder / "default" / document["job_id"]
    hidden = file.rename(file.parent.parent / "elsewhere")
    for _ in range(2):
        run_due(idle)
        due_now(idle)
    dead = job(idle, document)
    assert (dead["status"], dead["error"]["code"]) == ("dead", "file_missing")
    assert dead["error"]["message"]
    hidden.rename(file)
    idle.post(f"{document['status_url']}/retry")
    run_due(idle)
    assert job(idle, document)["status"] == "ready"


def test_what_is_written_of_a_document_while_it_is_deleted_is_purged(idle):
    def send(text: str) -> None:
        told = {"documents": '[{"id": "short-lived"}]'}
        idle.request("POST", "/v1/ingest", files=[("files", ("a.txt", text.encode()))], data=told)

    send("The first text.")
    run_due(idle)
    send("".join(f"Ringing tables list bird number {n} of the marsh.\n\n" for n in range(9000)))
    add = idle.container.index.add

    async def delete_first(*arguments) -> None:
        await idle._http.request("DELETE", "/v1/documents/short-lived")
        await add(*arguments)

    idle.container.index.add = delete_first
    run_due(idle)
    due_now(idle)
    run_due(idle)
    assert idle.post("/v1/index/verify", repair=False).json()["agrees"]


def failing(service: LiveService, error: Exception) -> None:
    async def fail(*_arguments) -> None:
        raise error

    service.container.index.add = fail


def test_an_outage_is_waited_for_however_long_it_lasts(idle):
    document = queue(idle)
    add = idle.container.index.add
    failing(idle, VectorStoreError("down"))
    for _ in range(4):
        run_due(idle)
        due_now(idle)
    assert job(idle, document)["status"] == "queued"
    assert job(idle, document)["error"]["code"] == "vector_store_unavailable"
    idle.container.index.add = add
    run_due(idle)
    assert job(idle, document)["status"] == "ready"
    assert "error" not in job(idle, document)


def test_what_fails_again_and_again_is_dead_until_somebody_tries_it_again(idle):
    document = queue(idle)
    add = idle.container.index.add
    failing(idle, EncoderError("cannot"))
    run_due(idle)
    due_now(idle)
    run_due(idle)
    dead = job(idle, document)
    assert (dead["status"], dead["attempts"], dead["error"]["code"]) == ("dead", 2, "encoder_failed")
    assert document["job_id"] in [item["job_id"] for item in idle.get("/v1/jobs?status=dead").json()["jobs"]]
    idle.container.index.add = add
    assert idle.post(f"{document['status_url']}/retry").json()["status"] == "queued"
    run_due(idle)
    assert job(idle, document)["status"] == "ready"
    assert idle.post(f"{document['status_url']}/retry").status_code == 409


def test_dead_jobs_are_removed_with_their_files(idle):
    document = queue(idle)
    failing(idle, EncoderError("cannot"))
    for _ in range(2):
        run_due(idle)
        due_now(idle)
    assert idle.request("DELETE", "/v1/jobs/dead").json()["purged"] >= 1
    assert idle.get(document["status_url"]).status_code == 404
    assert kept(idle) == []


def test_workers_lost_over_a_job_are_counted_apart_from_its_failures(idle):
    document = queue(idle)
    database = idle.container.database
    for _ in range(2):
        idle.run(database.write_across(lambda c: JobRepository(c, "doomed").claim(1, 60)))
        idle.run(database.write_across(lambda c: JobRepository(c, "doomed").renew([document["job_id"]], -1)))
    run_due(idle)
    dead = job(idle, document)
    assert (dead["status"], dead["error"]["code"]) == ("dead", "worker_lost")
    assert (dead["attempts"], dead["retakes"]) == (1, 2)


def test_a_job_goes_on_where_it_stopped(idle):
    document = queue(idle)
    add = idle.container.index.add
    failing(idle, VectorStoreError("down"))
    run_due(idle)
    assert job(idle, document)["stage"] == "chunked"
    file = idle.container.settings.files_folder / "default" / document["job_id"]
    file.write_bytes(b"")  # who would read it again would fail
    idle.container.index.add = add
    due_now(idle)
    run_due(idle)
    assert job(idle, document)["status"] == "ready"


def test_a_large_document_goes_on_after_the_part_that_is_in_the_index(idle):
    sentences = "".join(f"Ringing tables list bird number {n} of the marsh.\n\n" for n in range(9000))
    document = queue(idle, "large.txt", sentences.encode())
    add, sizes = idle.container.index.add, []

    async def fail_at_the_second(tenant, items, rights) -> None:
        sizes.append(len(items[0][1]))
        if len(sizes) == 2:
            raise VectorStoreError("down")
        await add(tenant, items, rights)

    idle.container.index.add = fail_at_the_second
    run_due(idle)
    before = job(idle, document)
    assert 0.3 < before["progress"] < 0.9
    due_now(idle)
    run_due(idle)
    assert job(idle, document)["status"] == "ready"
    chunks = idle.get(f"/v1/documents/{document['document_id']}").json()["chunks"]
    assert sum(sizes) == chunks + sizes[1]
    assert idle.post("/v1/index/verify", repair=False).json()["agrees"]


def test_what_is_more_urgent_goes_first(idle):
    queued = {priority: queue(idle, priority=priority) for priority in ("low", "normal", "high")}
    run_due(idle)
    ready = {priority: job(idle, document)["stages"][-1]["at"] for priority, document in queued.items()}
    assert sorted(ready, key=ready.__getitem__) == ["high", "normal", "low"]


def test_what_is_on_its_way_already_is_not_queued_again(idle):
    before = set(kept(idle))
    first, again = (queue(idle, content=b"Wrens sing loudly.") for _ in range(2))
    assert again == first
    assert [path.name for path in set(kept(idle)) - before] == [first["job_id"]]
    run_due(idle)
    assert (job(idle, first)["status"], set(kept(idle))) == ("ready", before)


def put(service: LiveService, document_id: str, text: str) -> dict:
    (document,) = service.post("/v1/ingest", documents=[{"id": document_id, "text": text}]).json()["documents"]
    return document


def test_versions_that_are_finished_together_come_one_after_the_other(idle):
    taken = [put(idle, "heron", text) for text in ("Herons stand.", "Herons wade.", "Herons fly.")]

    async def newest_first() -> None:
        jobs = await idle.container.worker._claim(("ingest",))
        assert len(jobs) == len(taken)
        await idle.container.worker._run(sorted(jobs, key=lambda job: -job.start))

    idle.run(newest_first())
    versions = idle.get("/v1/documents/heron/versions").json()["versions"]
    assert [(item["version"], item["state"]) for item in versions] == [(3, "current"), (2, "superseded"), (1, "superseded")]
    assert idle.get("/v1/documents/heron").json()["text"] == "Herons fly."
    assert {job(idle, document)["status"] for document in taken} == {"ready"}


def test_what_comes_back_after_a_change_that_is_on_its_way_is_another_version(idle):
    taken = [
        put(idle, "wren", text)
        for text in ("Wrens sing loudly.", "Wrens sing softly.", "Wrens sing loudly.", "Wrens sing loudly.")
    ]
    assert len({document["job_id"] for document in taken}) == 3
    assert taken[3] == taken[2]
    run_due(idle)
    assert (idle.get("/v1/documents/wren").json()["version"], job(idle, taken[3])["status"]) == (3, "ready")


def test_the_last_upload_of_a_document_wins_whichever_is_finished_first(idle):
    def send(text: bytes) -> dict:
        told = {"documents": '[{"id": "contested"}]'}
        answer = idle.request("POST", "/v1/ingest", files=[("files", ("a.txt", text))], data=told)
        return answer.json()["documents"][0]

    first, second = send(b"The first text."), send(b"The second text.")

    async def second_first() -> None:
        worker = idle.container.worker
        one = await worker._claim(("ingest",))
        two = await worker._claim(("ingest",))
        await worker._run(two)
        await worker._run(one)

    idle.run(second_first())
    assert idle.get("/v1/documents/contested").json()["text"] == "The second text."
    assert (job(idle, first)["status"], job(idle, first)["error"]["code"]) == ("failed", "superseded")
    assert job(idle, second)["status"] == "ready"


def test_the_tenant_with_the_least_work_running_goes_first(data_dir):
    settings = {"jobs": JobSettings(embedded=False), "auth": AuthSettings(mode="required")}
    with LiveService(data_dir, **settings) as service:
        busy, calm = service.key("Busy", "writer"), service.key("Calm", "writer")
        for number in range(5):
            queue(service, f"{number}.txt", f"Busy text {number}.".encode(), priority="high", **busy)
        queue(service, "calm.txt", b"A calm text.", **calm)

        async def claims() -> list[str]:
            return [(await service.container.worker._claim(("ingest",)))[0].tenant for _ in range(3)]

        order = service.run(claims())
        assert len(set(order[:2])) == 2


def test_everybody_sees_his_own_jobs_and_nobody_elses(data_dir):
    settings = {"jobs": JobSettings(embedded=False), "auth": AuthSettings(mode="required")}
    with LiveService(data_dir, **settings) as service:
        ann, bob = (service.key("Team", "writer", user_id=name) for name in ("ann", "bob"))
        operator, other = service.key("Team", "operator"), service.key("Other", "operator")
        document = queue(service, **ann)
        path = document["status_url"]
        for who, status in ((ann, 200), (operator, 200), (bob, 404), (other, 404)):
            assert service.request("GET", path, headers=who).status_code == status
            if status == 404:
                assert service.request("GET", f"{path}/events", headers=who).status_code == 404
            listed = service.request("GET", "/v1/jobs", headers=who).json()["jobs"]
            assert len(listed) == (1 if status == 200 else 0)
        assert service.request("POST", f"{path}/cancel", headers=bob).status_code == 404
        reader = service.key("Team", "reader", user_id="ann")
        assert service.request("GET", path, headers=reader).status_code == 403


def test_pages_of_jobs_lead_on(idle):
    sent = [queue(idle, f"{n}.txt", f"Text {n}.".encode())["job_id"] for n in range(5)]
    seen, cursor = [], ""
    while len(seen) < len(sent):
        page = idle.get(f"/v1/jobs?limit=2{cursor}").json()
        seen += [item["job_id"] for item in page["jobs"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert seen[:5] == sent[::-1]


def test_waiting_ends_with_the_time_there_is(idle):
    answer = idle.request(
        "POST", INGEST, files=[("files", ("a.txt", b"Nobody reads this."))], headers={"X-Request-Timeout": "0.2"}
    )
    assert (answer.status_code, answer.json()["documents"][0]["status"]) == (202, "queued")
