"""Documents say what the code does."""

from pathlib import Path

from advanced_rag import exceptions
from advanced_rag.config import Settings, load_settings

ROOT = Path(__file__).parent.parent


def test_every_error_code_is_documented():
    text = (ROOT / "docs" / "ERRORS.md").read_text(encoding="utf-8")
    classes = [item for item in vars(exceptions).values() if isinstance(item, type) and hasattr(item, "code")]
    missing = {item.code for item in classes if isinstance(item.code, str) and f"`{item.code}`" not in text}
    assert missing == set()


def test_the_shipped_settings_are_the_defaults(monkeypatch):
    monkeypatch.setenv("RAG_CONFIG", str(ROOT / "config.yaml"))
    assert load_settings().model_dump() == Settings().model_dump()
