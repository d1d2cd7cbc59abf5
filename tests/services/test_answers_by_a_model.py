"""Chat with a language model: its words, checked citations, and what happens without it."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from advanced_rag.config import LlmSettings, ProviderSettings
from tests.support.live import LiveService
from tests.support.llm import ANSWER, StubLlm, running_llm
from tests.support.service import INGEST

QUESTION = "How do I reset the pump?"


@pytest.fixture(scope="module")
def llm() -> Iterator[StubLlm]:
    with running_llm() as stub:
        yield stub


@pytest.fixture
def chat(llm: StubLlm, data_dir: Path):
    """Ask a service whose providers are these models."""

    def ask(*models: str, **body) -> bytes:
        providers = [ProviderSettings(name=name, base_url=llm.url, model=name, timeout_s=5) for name in models]
        with LiveService(data_dir, llm=LlmSettings(providers=providers)) as live:
            document = {"id": "manual", "title": "Pump manual", "text": "The blue button resets the pump."}
            assert live.post(INGEST, documents=[document]).is_success
            return live.post("/v1/chat", message=QUESTION, **body).content

    return ask


def test_the_model_answers_and_only_citations_that_exist_are_kept(chat):
    answer = orjson.loads(chat("down", "speaks"))
    assert answer["answer"] == "The pump is reset [1] by the blue button."
    assert [(item["n"], item["document_id"]) for item in answer["citations"]] == [(1, "manual")]
    assert (answer["provider"], answer["degraded"]) == ("speaks", [])


def test_a_stream_carries_the_model_s_own_words(chat):
    events = [part.split("\n") for part in chat("speaks", stream=True).decode().strip().split("\n\n")]
    words = [orjson.loads(data.removeprefix("data: "))["text"] for name, data in events if name == "event: token"]
    assert words == ANSWER


@pytest.mark.parametrize("models", [("down", "refuses"), ("silent",)])
def test_without_a_model_that_speaks_the_answer_is_extracted_and_says_so(chat, models):
    answer = orjson.loads(chat(*models))
    assert "blue button" in answer["answer"]
    assert answer["provider"] == "extractive"
    assert [item["component"] for item in answer["degraded"]] == (["llm"] if models != ("silent",) else [])


def test_an_answer_that_breaks_off_is_kept_and_marked(chat):
    answer = orjson.loads(chat("cut"))
    assert answer["answer"] == ANSWER[0].strip()
    assert [item["component"] for item in answer["degraded"]] == ["llm"]
