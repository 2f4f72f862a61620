"""The local embedding model, multilingual-e5-small, as pydantic-ai has models for embeddings."""

from collections.abc import Sequence

from pydantic_ai.embeddings import EmbeddingModel, EmbeddingResult, EmbeddingSettings
from pydantic_ai.embeddings.result import EmbedInputType
from pydantic_ai.usage import RequestUsage

from yeoul.core.llm.embedder import Embedder


class E5Model(EmbeddingModel):
    """Puts the prefix before each text that the model was trained with: ``query:`` or ``passage:``."""

    def __init__(self, name: str, embedder: Embedder) -> None:
        super().__init__()
        self._name = name
        self._embedder = embedder

    @property
    def model_name(self) -> str:
        """Its name without the provider."""
        return self._name

    @property
    def system(self) -> str:
        """The provider's name."""
        return "local"

    async def embed(
        self, inputs: str | Sequence[str], *, input_type: EmbedInputType, settings: EmbeddingSettings | None = None
    ) -> EmbeddingResult:
        """The vectors of these texts; raises a ``ModelError``."""
        texts, _ = self.prepare_embed(inputs, settings)
        vectors, tokens = await self._embedder.embed(texts, query=input_type == "query")
        return EmbeddingResult(
            embeddings=vectors,
            inputs=texts,
            input_type=input_type,
            model_name=self._name,
            provider_name="local",
            usage=RequestUsage(input_tokens=tokens),
        )
