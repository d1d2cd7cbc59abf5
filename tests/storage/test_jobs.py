"""The job table: each job has one worker at a time, and who lost the lease lost the right to finish."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from sqlalchemy import text

from advanced_rag.exceptions import OverloadedError
from advanced_rag.models.documents import DEFAULT_TENANT, TenantId
from advanced_rag.models.jobs import new_job
from advanced_rag.storage.jobs import JobRepository

OTHER, EVERYBODY = TenantId("other"), TenantId("*")


def job(n: int = 0):
    return new_job(DEFAULT_TENANT, "ingest", f"doc {n}", 1, 2)


def test_a_queued_job_is_claimed_once(write):
    item = job()
    write(lambda c: JobRepository(c, "a").add([item]))
    (claimed,) = write(lambda c: JobRepository(c, "a").claim(10, 60))
    assert (claimed.id, claimed.document_id, claimed.attempts) == (item.id, "doc 0", 1)
    assert write(lambda c: JobRepository(c, "b").claim(10, 60)) == []


def test_many_workers_share_the_jobs_without_sharing_one(write):
    write(lambda c: JobRepository(c, "a").add([job(n) for n in range(40)]))

    def work(n: int) -> list[str]:
        mine: list[str] = []
        while claimed := write(lambda c: JobRepository(c, f"worker {n}").claim(3, 60)):
            mine += [item.id for item in claimed]
        return mine

    with ThreadPoolExecutor(4) as pool:
        taken = [job_id for part in pool.map(work, range(4)) for job_id in part]
    assert len(taken) == len(set(taken)) == 40


def test_tenants_take_turns_at_a_worker_that_does_one_thing_at_a_time(write):
    jobs = [replace(job(n), stage="received") for n in range(4)]
    write(lambda c: JobRepository(c, "a").add(jobs[:3]))
    write(lambda c: JobRepository(c, "a").add([replace(jobs[3], tenant=OTHER)]), OTHER)

    def next_of(last):
        (claimed,) = write(lambda c: JobRepository(c, "me").claim(1, 60, last=last), EVERYBODY)
        write(lambda c: JobRepository(c, "me").finish([claimed.id]), EVERYBODY)
        return claimed.tenant

    first = next_of(None)
    second = next_of(first)
    assert {first, second} == {DEFAULT_TENANT, OTHER}
    assert [next_of(second), next_of(DEFAULT_TENANT)] == [DEFAULT_TENANT] * 2


def test_what_makes_the_index_agree_goes_before_documents(write):
    purge = new_job(DEFAULT_TENANT, "purge", "doc", 0, 2)
    write(lambda c: JobRepository(c, "me").add([job(n) for n in range(3)]))
    write(lambda c: JobRepository(c, "me").add([purge]))
    assert [item.id for item in write(lambda c: JobRepository(c, "me").claim(10, 60))] == [purge.id]


def test_a_job_whose_worker_was_lost_in_an_outage_has_been_tried_no_less_than_never(write):
    write(lambda c: JobRepository(c, "gone").add([job()], lease_s=-1))
    (lost,) = write(lambda c: JobRepository(c, "me").claim(10, 60))
    write(lambda c: JobRepository(c, "me").postpone(lost, OverloadedError("x"), delay_s=0, give_up=False, counts=False))
    assert [item.attempts for item in write(lambda c: JobRepository(c, "me").claim(10, 60))] == [1]


def test_a_lease_that_ran_out_goes_to_another_and_the_first_may_not_finish(write):
    item = job()
    write(lambda c: JobRepository(c, "slow").add([item], lease_s=-1))
    (claimed,) = write(lambda c: JobRepository(c, "quick").claim(10, 60))
    assert write(lambda c: JobRepository(c, "slow").finish([item.id])) == set()
    assert write(lambda c: JobRepository(c, "quick").finish([claimed.id])) == {item.id}


def test_a_renewed_lease_is_kept(write):
    item = job()
    write(lambda c: JobRepository(c, "me").add([item], lease_s=-1))
    write(lambda c: JobRepository(c, "me").renew([item.id], 60))
    assert write(lambda c: JobRepository(c, "other").claim(10, 60)) == []


def test_a_postponed_job_waits_and_a_dead_one_is_left_alone(write):
    first, second = job(1), job(2)
    write(lambda c: JobRepository(c, "me").add([first, second], lease_s=60))
    write(lambda c: JobRepository(c, "me").postpone(first, OverloadedError("x"), delay_s=60, give_up=False))
    write(lambda c: JobRepository(c, "me").postpone(second, OverloadedError("x"), delay_s=0, give_up=True))
    assert write(lambda c: JobRepository(c, "me").claim(10, 60)) == []
    assert write(lambda c: JobRepository(c, "me").counts()) == {"queued": 1, "dead": 1}


def test_the_statement_of_the_runbook_lets_dead_jobs_run_again(write):
    runbook = Path(__file__).parent.parent.parent / "docs" / "RUNBOOK.md"
    statement = next(line for line in runbook.read_text(encoding="utf-8").splitlines() if "UPDATE jobs" in line)
    item = job()
    write(lambda c: JobRepository(c, "me").add([item], lease_s=60))
    write(lambda c: JobRepository(c, "me").postpone(item, OverloadedError("x"), delay_s=60, give_up=True))
    write(lambda c: c.connection.execute(text(statement)))
    assert [(found.id, found.attempts) for found in write(lambda c: JobRepository(c, "me").claim(10, 60))] == [(item.id, 1)]


def test_releasing_gives_every_running_job_back(write):
    write(lambda c: JobRepository(c, "gone").add([job()], lease_s=60))
    write(lambda c: JobRepository(c, "me").release(everybody=True))
    assert len(write(lambda c: JobRepository(c, "me").claim(10, 60))) == 1
