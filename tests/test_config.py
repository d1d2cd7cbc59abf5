"""Settings: every key typed, mistakes named, secrets never shown."""

from pathlib import Path

import pytest

from advanced_rag.environment import load_settings
from advanced_rag.exceptions import StartupError

SECRET = "hunter2-do-not-show"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def write(text: str) -> None:
        file = tmp_path / "own.yaml"
        file.write_text(text, encoding="utf-8")
        monkeypatch.setenv("RAG_CONFIG", str(file))

    return write


def refusal() -> str:
    with pytest.raises(StartupError) as raised:
        load_settings()
    return raised.value.message


def test_the_environment_wins_over_the_file_key_by_key(config, monkeypatch):
    config("server: {port: 9000, host: localhost}")
    monkeypatch.setenv("RAG_SERVER__PORT", "9001")
    server = load_settings().server
    assert (server.port, server.host) == (9001, "localhost")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("serverr: {port: 1}", "serverr"),
        ("server: {prot: 1}", "server.prot"),
        ("server: {port: many}", "server.port"),
        ("retrieval: {weights: {semantic: 2}}", "retrieval.weights.semantic"),
        ("milvus: {timeout_s: 0}", "milvus.timeout_s"),
        ("domains: {Law!: {}}", "domains"),
        ("routing: {rules: [{name: a, route: fax}]}", "routing.rules.0.route"),
        ("routing: {rules: [{name: a, route: ocr, percent: 101}]}", "routing.rules.0.percent"),
        ("routing: {rules: [{name: a, route: ocr}, {name: a, route: text}]}", "routing.rules"),
        ("llm: {providers: [{name: a, base_url: b, model: c, key: d}]}", "llm.providers.0.key"),
    ],
)
def test_a_mistake_in_the_file_stops_start_up_with_its_key(config, text, key):
    config(text)
    assert key in refusal()


@pytest.mark.parametrize("variable", ["RAG_SERVRE__PORT", "RAG_SERVER__PROT", "RAG_PORT"])
def test_an_unknown_variable_stops_start_up_with_its_name(monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    assert refusal() == f"{variable} is not a setting"


def test_a_bad_value_is_named_but_never_shown(monkeypatch):
    monkeypatch.setenv("RAG_SERVER__PORT", SECRET)
    message = refusal()
    assert "server.port" in message
    assert SECRET not in message


@pytest.mark.parametrize(
    "text",
    [f"milvus: {{token: {SECRET}}}", f"database: {{url: 'postgresql://me:{SECRET}@db/rag'}}"],
)
def test_a_secret_in_the_file_is_refused_and_not_shown(config, text):
    config(text)
    message = refusal()
    assert "holds a secret" in message
    assert SECRET not in message


def test_secrets_do_not_show_in_a_printed_settings_object(monkeypatch):
    monkeypatch.setenv("RAG_DATABASE__URL", f"postgresql://me:{SECRET}@db/rag")
    monkeypatch.setenv("RAG_MILVUS__TOKEN", SECRET)
    monkeypatch.setenv("RAG_REDIS__URL", f"redis://:{SECRET}@cache")
    assert SECRET not in repr(load_settings())


def test_an_open_network_needs_a_word_of_its_own(monkeypatch):
    monkeypatch.setenv("RAG_SERVER__HOST", "192.0.2.1")
    assert "server.host" in refusal()
    monkeypatch.setenv("RAG_SERVER__ALLOW_OPEN_NETWORK", "true")
    assert not load_settings().is_loopback


@pytest.mark.parametrize("text", ["- a list", "server: [", "\x00"])
def test_a_file_that_holds_no_settings_is_refused(config, text):
    config(text)
    assert "own.yaml" in refusal()


def test_a_named_file_must_exist(monkeypatch):
    monkeypatch.setenv("RAG_CONFIG", "/nowhere/config.yaml")
    assert "/nowhere/config.yaml" in refusal()


def test_domains_and_providers_can_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("RAG_DOMAINS", '{"law": {"encoder": null}}')
    monkeypatch.setenv("RAG_LLM__PROVIDERS", '[{"name": "local", "base_url": "http://127.0.0.1:1/v1", "model": "m"}]')
    settings = load_settings()
    assert "law" in settings.domains
    assert settings.llm.providers[0].name == "local"
