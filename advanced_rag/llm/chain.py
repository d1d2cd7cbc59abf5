"""Language models, one behind the other."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from advanced_rag.exceptions import ProviderError, UnavailableError
from advanced_rag.llm.base import Answerer, Question


class Provider(Answerer, Protocol):
    """Somewhere a language model is asked."""

    name: str
    model: str

    async def close(self) -> None:
        """Close the connections."""


Watch = Callable[[], AbstractContextManager[None]]


class FallbackChain:
    """Asks one provider after the other until one speaks; once a word is out, there is no going back.

    ``watch`` of a provider is the circuit breaker its calls run under.
    """

    def __init__(self, providers: Sequence[tuple[Provider, Watch]]) -> None:
        self._providers = providers

    @property
    def models(self) -> dict[str, str]:
        """The model of each provider."""
        return {provider.name: provider.model for provider, _ in self._providers}

    async def stream(self, question: Question, spoke: Callable[[str], None] = lambda _: None) -> AsyncIterator[str]:
        """Yield the answer of the first provider that speaks, telling ``spoke`` its name.

        Raises the last ProviderError, or CircuitOpenError.
        """
        failure: UnavailableError = ProviderError("no language model is configured")
        for provider, watch in self._providers:
            begun = False
            try:
                async for part in _watched(watch, provider.stream(question)):
                    if not begun:
                        spoke(provider.name)
                    begun = True
                    yield part
            except UnavailableError as error:
                if begun:
                    raise
                failure = error
            else:
                return
        raise failure

    async def close(self) -> None:
        """Close every provider."""
        for provider, _ in self._providers:
            await provider.close()


async def _watched(watch: Watch, parts: AsyncIterator[str]) -> AsyncIterator[str]:
    with watch():
        async for part in parts:
            yield part
