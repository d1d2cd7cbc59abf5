"""The settings name another encoder: the service goes on with the one its index was built with, until that is built anew."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from advanced_rag.config import EncoderSettings
from advanced_rag.encoders.load import BUNDLED_MODEL, load_encoder
from advanced_rag.exceptions import StartupError
from tests.conftest import make_data_dir
from tests.support.live import LiveService
from tests.support.models import save_tiny_bert
from tests.support.reindexing import fill, found, live, reindex, states, word

pytestmark = pytest.mark.usefixtures("followed_at_once")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another encoder, of 32 dimensions."""
    return save_tiny_bert(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, prepared_encoders: Path, model: Path) -> Path:
    """Both encoders, prepared."""
    folder = make_data_dir(tmp_path_factory.mktemp("both"), prepared_encoders) / "encoders"
    load_encoder(str(model), EncoderSettings(), folder)
    return folder


@pytest.fixture
def both(tmp_path: Path, prepared: Path) -> Path:
    """A data directory in which both encoders are prepared."""
    return make_data_dir(tmp_path / "both", prepared)


@contextmanager
def away(model: Path) -> Iterator[Path]:
    """Let the model lie elsewhere while the block runs."""
    elsewhere = model.rename(model.with_name("elsewhere"))
    try:
        yield elsewhere
    finally:
        elsewhere.rename(model)


def with_model(data_dir: Path, model: Path | str) -> LiveService:
    return LiveService(data_dir, encoder=EncoderSettings(model=str(model)))


def test_the_old_encoder_serves_until_the_new_one_is_ready_and_again_after_going_back(both, model):
    with with_model(both, BUNDLED_MODEL) as service:
        fill(service, 5)
        old = service.get("/v1/status").json()["encoder"]
    with with_model(both, model) as service:
        assert service.get("/v1/status").json()["encoder"] == old
        assert found(service, f"What does badger 3 keep? {word(3)}", search_mode="semantic")[0] == "d3"
        plan = {row["kind"]: row["action"] for row in service.post("/v1/index/reindex/plan").json()["kinds"]}
        assert plan == {"semantic": "build", "domain_general": "build", "sparse": "nothing"}
        assert reindex(service, verify=True)["state"] == "done"
        assert service.get("/v1/status").json()["encoder"] != old
        assert service.container.index.semantic.encoder.dimension == 32
        assert len(found(service, "pump", search_mode="semantic")) == 5
        fill(service, 6)  # written to both
        assert service.post("/v1/index/rollback").is_success
        assert service.get("/v1/status").json()["encoder"] == old
        assert found(service, f"What does badger 5 keep? {word(5)}", search_mode="semantic")[0] == "d5"
        assert service.post("/v1/index/verify").json()["agrees"]


def test_an_encoder_that_is_gone_stops_start_up_with_one_line_and_the_index_is_built_offline(both, model):
    with with_model(both, model) as service:
        fill(service, 5)
    with away(model):
        with pytest.raises(StartupError, match="advanced-rag reindex"), with_model(both, BUNDLED_MODEL):
            pass
        with LiveService(both, reindexing=True) as service:
            assert reindex(service, verify=True)["state"] == "done"
    with away(model), with_model(both, BUNDLED_MODEL) as service:
        assert live(service)["semantic"] == "semantic_g2"
        assert states(service)["semantic_g1"] == "dropping"  # nobody can write to it any more
        assert found(service, f"What does badger 3 keep? {word(3)}", search_mode="semantic")[0] == "d3"


def test_what_cannot_be_written_to_for_a_rollback_is_given_up(both, model):
    with with_model(both, model) as service:
        fill(service, 2)
    with with_model(both, BUNDLED_MODEL) as service:
        reindex(service)
    with away(model), with_model(both, BUNDLED_MODEL) as service:
        assert states(service)["semantic_g1"] == "dropping"
        fill(service, 3)
        assert found(service, f"What does badger 2 keep? {word(2)}")[0] == "d2"


def test_an_encoder_that_moved_is_known_by_its_weights(both, model):
    with with_model(both, model) as service:
        fill(service, 2)
    with away(model) as moved, with_model(both, moved) as service:
        assert all(row["action"] == "nothing" for row in service.post("/v1/index/reindex/plan").json()["kinds"])
        generations = service.get("/v1/index/reindex").json()["generations"]
        assert {item["model"] for item in generations if item["model"]} == {str(moved)}
