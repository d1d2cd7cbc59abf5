"""The application for an ASGI server: ``uvicorn service:app``."""

from advanced_rag.api.app import create_app

app = create_app()
