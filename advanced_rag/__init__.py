"""Self-hosted retrieval and chat over a team's own documents."""

__version__ = "0.1.0"
