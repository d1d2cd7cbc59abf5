"""Whatever fits the OpenAPI document, and what just misses it, is answered as the document says; never a 5xx."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from advanced_rag.api.app import create_app
from advanced_rag.config import Settings
from tests.conftest import make_data_dir
from tests.support.service import RunningService, running

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


OPERATIONS = [found.ok() for found in schemathesis.openapi.from_dict(create_app(Settings()).openapi()).get_all_operations()]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, prepared_encoders: Path) -> Iterator[RunningService]:
    data_dir = make_data_dir(tmp_path_factory.mktemp("schema") / "data", prepared_encoders)
    with running(data_dir, RAG_SERVER__PROFILING="true") as live:
        yield live
        assert live.faults() == ""


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_every_answer_is_one_the_document_knows(service, operation):
    @settings(max_examples=50, suppress_health_check=list(HealthCheck))
    @given(
        case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    )
    def answers(case: schemathesis.Case) -> None:
        case.headers.pop("X-Request-Timeout", None)  # who leaves no time is told so, with a 503
        case.call_and_validate(base_url=service.url, checks=CHECKS)

    answers()
