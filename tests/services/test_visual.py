"""Pages that are drawings go the visual way, and are found by what they look like: from the upload to the deletion."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fpdf import FPDF
from PIL import Image
from sqlalchemy import func, select

from advanced_rag.config import AuthSettings, JobSettings, OcrSettings, ParsingSettings, Settings, VisualSettings
from advanced_rag.encoders.visual import VisualEncoder
from advanced_rag.exceptions import EncoderError
from advanced_rag.models.index import VISUAL
from advanced_rag.ranking.maxsim import maxsim, unpack
from advanced_rag.services.backup import back_up
from advanced_rag.services.restore import restore
from advanced_rag.storage.pages import PageRepository
from advanced_rag.storage.tables import page_vectors
from tests.conftest import make_data_dir, make_database
from tests.support.live import LiveService
from tests.support.reindexing import fill, reindex
from tests.support.service import INGEST
from tests.support.visual import save_tiny_colqwen2

QUERY = "the pump is broken"
REQUIRED = AuthSettings(mode="required", secret="s" * 32)
NO_OCR = ParsingSettings(ocr=OcrSettings(enabled=False))
CAPTIONS = ["", "The pump is broken.", "", "", "An invoice."]  # of the pages of a plan


def plan(captions=CAPTIONS) -> bytes:
    """A PDF whose pages are drawings, each another one; some have a caption."""
    pdf = FPDF(orientation="landscape")
    pdf.set_font("helvetica", size=12)
    for number, caption in enumerate(captions):
        pdf.add_page()
        pdf.set_fill_color(40 * number, 255 - 40 * number, 90)
        pdf.ellipse(20 + 20 * number, 30, 60, 90, style="DF")
        pdf.rect(120, 40 + 10 * number, 90, 20 + 20 * number, style="DF")
        if caption:
            pdf.text(20, 20, caption)
    return bytes(pdf.output())


def picture() -> bytes:
    written = io.BytesIO()
    Image.radial_gradient("L").resize((300, 200)).save(written, "PNG")
    return written.getvalue()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_tiny_colqwen2(tmp_path_factory.mktemp("colqwen2"))


@pytest.fixture(scope="module")
def open_service(model, tmp_path_factory, prepared_encoders):
    def opened(**settings) -> LiveService:
        own = {
            "visual": VisualSettings(model=str(model), batch_pages=2),
            "parsing": NO_OCR,
            "auth": REQUIRED,
            "jobs": JobSettings(interval_s=0.1),
        }
        folder = settings.pop("data_dir", None) or tmp_path_factory.mktemp("visual") / "data"
        if not (folder / "encoders").exists():
            make_data_dir(folder, prepared_encoders)
        return LiveService(folder, **{**own, **settings})

    return opened


@pytest.fixture(scope="module")
def service(open_service) -> Iterator[LiveService]:
    with open_service() as live:
        yield live


@pytest.fixture(scope="module")
def ann(service) -> dict[str, str]:
    return service.key(role="admin", user_id="ann")


@pytest.fixture(scope="module")
def ben(service) -> dict[str, str]:
    return service.key(role="writer", user_id="ben")


def upload(service, who, key: str, data: bytes, name: str = "plan.pdf", **told) -> dict:
    """Upload a file and wait for the end of its job; returns the job."""
    options = {"data": {"documents": f'[{{"id": "{key}"{_json(told)}}}]'}, "files": {"files": (name, data)}}
    answer = service.request("POST", INGEST, headers=who, **options)
    assert answer.status_code == 200, answer.text
    listed = service.request("GET", "/v1/jobs", headers=who).json()["jobs"]
    return next(job for job in listed if job["document_id"] == key)


def _json(told: dict) -> str:
    return "".join(f', "{name}": {value}' for name, value in told.items())


def found(service, who, mode: str, key: str, **options) -> list[dict]:
    body = {"query": QUERY, "search_mode": mode, "filters": {"document_id": key}, **options}
    answer = service.request("POST", "/v1/retrieve", headers=who, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["degraded"] == []
    return [hit for hit in answer.json()["hits"] if hit["document_id"] == key]


def stored(service) -> int:
    """Return how many pages have vectors in SQL."""
    return service.run(
        service.container.database.read(
            "default", lambda t: t.connection.execute(select(func.count()).select_from(page_vectors)).scalar_one()
        )
    )


def indexed(service, key: str) -> int:
    return service.run(service.container.index.count("default", key))


def wait_for_purges(service) -> None:
    """Wait until no job is left: what a new version replaces is purged once the upload was answered."""
    for _ in range(1000):
        if not any(service.run(service.container.health.index("default")).jobs.values()):
            return
    pytest.fail("there is work that does not end")


def verified(service, who, **body) -> tuple[int, int, int]:
    """Return what verification says of the pages; all other collections must agree."""
    report = service.request("POST", "/v1/index/verify", headers=who, json=body).json()
    rows = {row["collection"]: (row["missing"], row["orphaned"], row["repaired"]) for row in report["collections"]}
    pages = rows.pop(service.container.index.generations[VISUAL].collection)
    assert set(rows.values()) == {(0, 0, 0)}
    return pages


def test_drawings_are_found_page_by_page(service, ann):
    job = upload(service, ann, "plan", plan())
    told = job["details"]
    assert (job["status"], told["kind"], told["route"], told["rule"]) == ("ready", "scanned", "visual", "unreadable")
    assert (told["pages_seen"], told["pages_to_see"], told["notes"]) == (5, 5, [])
    by_sight = found(service, ann, "visual", "plan")
    assert sorted(hit["page"] for hit in by_sight) == [1, 2, 3, 4, 5]
    assert {hit["score_kind"] for hit in by_sight} == {"maxsim"}
    assert {hit["page"]: hit["text"] for hit in by_sight} == dict(enumerate(CAPTIONS, start=1))
    assert [hit["score"] for hit in by_sight] == sorted((hit["score"] for hit in by_sight), reverse=True)


def test_the_score_of_a_page_is_that_of_late_interaction(service, ann):
    upload(service, ann, "scored", plan(CAPTIONS[:3]))
    hits = found(service, ann, "visual", "scored")
    encoder, ids = service.container.index.visual.encoder, [hit["chunk_id"] for hit in hits]
    read = service.container.database.read("default", lambda t: PageRepository(t).packed(ids, encoder.fingerprint))
    packed = service.run(read)
    (query,) = encoder.queries([QUERY])
    np.testing.assert_allclose(
        [hit["score"] for hit in hits], maxsim(query, [unpack(packed[key]) for key in ids]), atol=1e-4
    )


def test_a_page_is_one_hit_of_what_it_says_and_what_it_looks_like(service, ann):
    upload(service, ann, "both", plan())
    hits = found(service, ann, "hybrid_visual", "both", explain=True)
    legs = {hit["page"]: set(hit["legs"]) for hit in hits}
    assert legs[2] == {"semantic", "sparse", "visual"}
    assert legs[1] == legs[3] == {"visual"}
    assert len(hits) == 5
    assert {hit["score_kind"] for hit in hits} == {"fused"}
    by_weight = found(service, ann, "hybrid_visual", "both", weights={"semantic": 1, "sparse": 1, "visual": 0})
    assert by_weight[0]["page"] == 2


def test_a_page_without_text_is_in_no_collection_of_texts(service, ann):
    before = {mode: len(found(service, ann, mode, "captions")) for mode in ("semantic", "sparse")}
    upload(service, ann, "captions", plan())
    assert before == {"semantic": 0, "sparse": 0}
    assert sorted(hit["page"] for hit in found(service, ann, "semantic", "captions")) == [2, 5]
    assert verified(service, ann) == (0, 0, 0)


def test_slides_and_pictures_go_the_same_way(service, ann):
    slides = upload(service, ann, "slides", plan(["One", "Two"]))
    assert (slides["details"]["kind"], slides["details"]["rule"]) == ("visual", "pictures")
    drawn = upload(service, ann, "picture", picture(), "picture.png")
    assert (drawn["details"]["route"], drawn["details"]["pages_seen"]) == ("visual", 1)
    assert [hit["page"] for hit in found(service, ann, "visual", "picture")] == [1]


def test_a_text_goes_the_way_of_texts(service, ann):
    body = {"documents": [{"id": "note", "text": "The pump is broken."}]}
    assert service.request("POST", INGEST, headers=ann, json=body).status_code == 200
    (job,) = service.request("GET", "/v1/jobs?limit=1", headers=ann).json()["jobs"]
    assert (job["document_id"], job["details"]["route"], job["details"]["rule"]) == ("note", "text", "otherwise")


def test_the_way_is_told_when_it_is_chosen(service, ann):
    job = upload(service, ann, "told", plan())
    events = service.request("GET", f"/v1/jobs/{job['job_id']}/events", headers=ann).text
    assert '"stage":"classified"' in events
    assert '"data":{"kind":"scanned","route":"visual","rule":"unreadable"}' in events


def test_what_was_found_out_of_a_file_is_told_with_its_document(service, ann):
    job = upload(service, ann, "told of", plan())
    source = service.request("GET", "/v1/documents/told of", headers=ann).json()["source"]
    assert (source["name"], source["media_type"], source["rule"]) == ("plan.pdf", "application/pdf", "unreadable")
    assert source["diagnostics"] == job["details"]["diagnostics"]
    assert source["diagnostics"]["words"] == 6


def test_who_may_not_see_a_document_does_not_find_its_pages(service, ann, ben):
    upload(service, ann, "secret", plan(), access='{"visibility": "private"}')
    for mode in ("visual", "hybrid_visual"):
        assert len(found(service, ann, mode, "secret")) == 5
        assert found(service, ben, mode, "secret") == []
    opened = {"visibility": "private", "users": ["ben"]}
    assert service.request("PUT", "/v1/documents/secret/access", headers=ann, json=opened).status_code == 200
    for mode in ("visual", "hybrid_visual"):
        assert len(found(service, ben, mode, "secret")) == 5


def test_filters_hold_for_pages(service, ann):
    upload(service, ann, "filtered", plan(), metadata='{"site": "north"}')
    assert len(found(service, ann, "visual", "filtered", filters={"site": "north"})) == 5
    assert found(service, ann, "visual", "filtered", filters={"site": "south"}) == []


def test_what_is_deleted_is_gone_from_both_stores(service, ann):
    before = stored(service)
    upload(service, ann, "gone", plan())
    assert (stored(service), indexed(service, "gone")) == (before + 5, 5 + 2 + 2)
    assert service.request("DELETE", "/v1/documents/gone", headers=ann).status_code == 200
    assert (stored(service), indexed(service, "gone")) == (before, 0)
    assert found(service, ann, "visual", "gone") == []
    assert verified(service, ann) == (0, 0, 0)


def test_a_new_version_takes_the_place_of_the_pages_of_the_old_one(service, ann):
    before = stored(service)
    upload(service, ann, "replaced", plan())
    upload(service, ann, "replaced", plan(["", "", "A new page.", ""]))
    wait_for_purges(service)
    assert (stored(service), indexed(service, "replaced")) == (before + 4, 4 + 1 + 1)
    assert sorted(hit["page"] for hit in found(service, ann, "visual", "replaced")) == [1, 2, 3, 4]


def change(service, who, key: str, **changes) -> dict:
    answer = service.request("PATCH", f"/v1/documents/{key}?wait=true", headers=who, json=changes)
    assert answer.status_code == 200, answer.text
    return answer.json()["documents"][0]


def test_what_changes_of_a_document_without_its_file_leaves_its_pages_as_they_were_seen(service, ann, monkeypatch):
    upload(service, ann, "changing", plan(), metadata='{"site": "north"}')
    upload(service, ann, "changing too", picture(), "picture.png")
    before = stored(service)
    scores = [hit["score"] for hit in found(service, ann, "visual", "changing")]
    monkeypatch.setattr(service.container.index.visual.encoder, "pages", None)
    assert change(service, ann, "changing", metadata={"site": "south"})["status"] == "updated"
    assert found(service, ann, "visual", "changing", filters={"site": "north", "document_id": "changing"}) == []
    for title, key in (("A plan of pumps", "changing"), ("A gradient", "changing too")):
        assert change(service, ann, key, title=title)["status"] == "replaced"
    wait_for_purges(service)
    hits = found(service, ann, "visual", "changing", filters={"site": "south", "title": "A plan of pumps"})
    assert [hit["score"] for hit in hits] == pytest.approx(scores)
    assert {hit["page"]: hit["text"] for hit in hits} == dict(enumerate(CAPTIONS, start=1))
    assert [hit["page"] for hit in found(service, ann, "visual", "changing too")] == [1]
    assert stored(service) == before
    assert verified(service, ann) == (0, 0, 0)


def test_of_an_older_version_the_text_comes_back_and_without_text_nothing(service, ann):
    for key, pages in (("restored", plan()), ("mute", plan(["", ""]))):
        upload(service, ann, key, pages)
        upload(service, ann, key, plan(["Quite another plan."]))
    path = "/v1/documents/{}/versions/1/restore?wait=true"
    (back,) = service.request("POST", path.format("restored"), headers=ann).json()["documents"]
    assert (back["status"], back["chunks"]) == ("replaced", 2)
    assert sorted(hit["page"] for hit in found(service, ann, "semantic", "restored")) == [2, 5]
    (refused,) = service.request("POST", path.format("mute"), headers=ann).json()["documents"]
    assert (refused["status"], refused["error"]["code"]) == ("failed", "no_text")
    assert [hit["text"] for hit in found(service, ann, "semantic", "mute")] == ["Quite another plan."]
    wait_for_purges(service)
    assert verified(service, ann) == (0, 0, 0)


def test_a_receipt_counts_the_pages_that_were_forgotten(service, ann):
    upload(service, ann, "forgotten", plan())
    receipt = service.request("POST", "/v1/forget", headers=ann, json={"kind": "document", "target": "forgotten"}).json()
    assert receipt["removed"]["pages"] == 5
    assert set(receipt["left"].values()) == {0}


def test_the_collection_of_pages_is_made_anew_without_looking_again(service, ann, monkeypatch):
    upload(service, ann, "lost", plan())
    index = service.container.index
    index.store.drop(index.generations[VISUAL])
    monkeypatch.setattr(index.visual.encoder, "pages", None)
    missing, orphaned, repaired = verified(service, ann, repair=True)
    assert (missing, orphaned) == (stored(service), 0)
    assert repaired == missing
    assert verified(service, ann) == (0, 0, 0)
    assert len(found(service, ann, "visual", "lost")) == 5


def test_a_job_that_breaks_off_goes_on_with_the_pages_that_are_left(service, ann, monkeypatch):
    encoder, batches = service.container.index.visual.encoder, []
    encode = type(encoder).pages

    def fail_once(pictures):
        batches.append(len(pictures))
        if len(batches) == 2:
            raise EncoderError("out of memory")
        return encode(encoder, pictures)

    monkeypatch.setattr(encoder, "pages", fail_once)
    job = upload(service, ann, "broken off", plan())
    assert (job["status"], job["attempts"], job["details"]["pages_seen"]) == ("ready", 2, 5)
    assert batches == [2, 2, 2, 1]  # the second one twice
    assert len(found(service, ann, "visual", "broken off")) == 5


def test_a_file_no_page_of_which_can_be_drawn_fails(service, ann):
    job = upload(service, ann, "cut off", picture()[:-4000], "cut.png")
    assert (job["status"], job["error"]["code"]) == ("failed", "unrenderable_page")
    assert service.request("GET", "/v1/documents/cut off", headers=ann).status_code == 404


def test_a_question_is_encoded_once_for_each_user(service, ann, ben, monkeypatch):
    encoder, asked = service.container.index.visual.encoder, []
    encode = type(encoder).queries
    monkeypatch.setattr(encoder, "queries", lambda texts: asked.extend(texts) or encode(encoder, texts))
    for who in (ann, ann, ben):
        service.request("POST", "/v1/retrieve", headers=who, json={"query": "invoice again", "search_mode": "visual"})
    assert asked == ["invoice again"] * 2


def test_similar_pages_make_room_for_others(service, ann):
    upload(service, ann, "diverse", plan())
    for mode in ("visual", "hybrid_visual"):
        hits = found(service, ann, mode, "diverse", mmr=True)
        assert len(hits) == 5
        assert {hit["score_kind"] for hit in hits} == {"mmr"}


def test_without_the_pages_the_other_legs_answer(open_service):
    with open_service() as live:
        who = live.key()
        upload(live, who, "plan", plan())
        index = live.container.index
        index.store.drop(index.generations[VISUAL])
        body = {"query": QUERY, "search_mode": "hybrid_visual"}
        answer = live.request("POST", "/v1/retrieve", headers=who, json=body).json()
        assert answer["degraded"] == [{"component": "visual", "reason": "vector_store_refused"}]
        assert {hit["page"] for hit in answer["hits"]} == {2, 5}
        alone = live.request("POST", "/v1/retrieve", headers=who, json={**body, "search_mode": "visual"})
        assert alone.status_code == 503


def test_pages_beyond_the_limit_are_found_by_their_text(open_service, model):
    with open_service(visual=VisualSettings(model=str(model), max_pages=1)) as live:
        who = live.key()
        job = upload(live, who, "plan", plan())
        assert (job["details"]["pages_seen"], job["details"]["notes"]) == (1, ["visual_page_limit"])
        assert [hit["page"] for hit in found(live, who, "visual", "plan")] == [1]
        assert sorted(hit["page"] for hit in found(live, who, "semantic", "plan")) == [2, 5]


def test_a_model_can_be_set_and_taken_away(open_service, tmp_path):
    data_dir, slides = tmp_path / "data", plan(["The pump is broken.", "An invoice."])
    with open_service(data_dir=data_dir, visual=VisualSettings()) as live:
        job = upload(live, live.key(), "plan", slides)
        assert (job["details"]["route"], job["details"]["rule"]) == ("text", "otherwise")
    with open_service(data_dir=data_dir) as live:
        who = live.key()
        again = upload(live, who, "plan", slides)
        assert (again["version"], again["details"]["route"]) == (2, "visual")
        assert upload(live, who, "plan", slides)["details"]["outcome"] == "unchanged"
        assert len(found(live, who, "visual", "plan")) == 2
        wait_for_purges(live)
    with open_service(data_dir=data_dir, visual=VisualSettings()) as live:
        who = live.key()
        refused = live.request("POST", "/v1/retrieve", headers=who, json={"query": QUERY, "search_mode": "visual"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "feature_disabled")
        assert indexed(live, "plan") == 3 * 2
        assert live.request("DELETE", "/v1/documents/plan", headers=who).status_code == 200
        assert (stored(live), indexed(live, "plan")) == (0, 0)


def test_pages_wait_for_a_worker_that_can_look_at_them(open_service, tmp_path, monkeypatch):
    data_dir, idle = tmp_path / "data", JobSettings(embedded=False)

    def state(live) -> tuple[str, str | None]:
        live.run(live.container.database.write_across(_due_now))
        live.run(live.container.worker.run_due())
        (job,) = live.request("GET", "/v1/jobs", headers=live.key(user_id="ann")).json()["jobs"]
        return job["status"], job.get("error", {}).get("code")

    with open_service(data_dir=data_dir, jobs=idle) as live:
        monkeypatch.setattr(live.container.index.visual.encoder, "pages", _fail)
        live.request("POST", "/v1/ingest", headers=live.key(user_id="ann"), files={"files": ("plan.pdf", plan(["", ""]))})
        assert state(live) == ("queued", "encoder_failed")
    with open_service(data_dir=data_dir, jobs=idle, visual=VisualSettings()) as live:
        assert state(live) == ("queued", "encoder_missing")
    with open_service(data_dir=data_dir, jobs=idle) as live:
        assert state(live) == ("ready", None)
        assert stored(live) == 2


def _fail(_pictures) -> None:
    raise EncoderError("out of memory")


def _due_now(transaction) -> None:
    transaction.connection.exec_driver_sql("UPDATE jobs SET run_after = 0")


def test_postgresql_keeps_pages_of_its_tenants_apart(open_service, postgres):
    with open_service(database_url=make_database(postgres)) as live:
        ours, theirs = live.key(user_id="ann"), live.key("Others", user_id="ann")
        upload(live, ours, "plan", plan())
        assert len(found(live, ours, "hybrid_visual", "plan")) == 5
        assert found(live, theirs, "visual", "plan") == []
        assert live.request("DELETE", "/v1/documents/plan", headers=ours).status_code == 200
        assert (stored(live), indexed(live, "plan")) == (0, 0)


def test_a_restored_backup_finds_pages_without_looking_again(open_service, model, tmp_path, monkeypatch):
    own, other = tmp_path / "own", tmp_path / "other"
    other.mkdir()
    with open_service(data_dir=own) as live:
        upload(live, live.key(user_id="ann"), "plan", plan())
    settings = {"auth": REQUIRED, "visual": VisualSettings(model=str(model))}
    silent = {"announce": lambda _: None}
    back_up(Settings(data_dir=own, **settings), tmp_path / "backup", with_vectors=True, **silent)
    restore(Settings(data_dir=other, **settings), tmp_path / "backup", {}, **silent)
    monkeypatch.setattr(VisualEncoder, "pages", None)
    with open_service(data_dir=other) as live:
        who = live.key(user_id="ann")
        assert len(found(live, who, "visual", "plan")) == 5
        assert verified(live, who) == (0, 0, 0)


@pytest.mark.usefixtures("followed_at_once")
def test_generations_are_compared_on_what_is_asked_in_words(open_service):
    with open_service(auth=AuthSettings()) as service:
        fill(service, 2)
        asked = {"queries": {"q": QUERY}, "judgments": {"q": {"d0": 1}}}
        run = reindex(service, kinds=["sparse", VISUAL], evaluation=asked)
        assert (run["state"], VISUAL in run["result"]["evaluation"]["before"]) == ("done", False)
