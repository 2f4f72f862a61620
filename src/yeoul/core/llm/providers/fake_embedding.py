"""A scripted model for embeddings: the same text gives the same vector, and texts that share words are near.

Each word and each part of three letters of a word adds to one number of the vector, chosen by its hash. A token is a
word; a text with more than 8,192 of them is too long, as for a real model.
"""

import hashlib
import re
from collections.abc import Sequence

from pydantic_ai.embeddings import EmbeddingModel, EmbeddingResult, EmbeddingSettings
from pydantic_ai.embeddings.result import EmbedInputType
from pydantic_ai.exceptions import ModelContextWindowExceededError, ModelHTTPError
from pydantic_ai.usage import RequestUsage

DIMENSIONS = 64
CONTEXT = 8192


class FakeEmbedding(EmbeddingModel):
    """Makes vectors of 64 numbers, or the first ``dimensions`` of them; their length is 1."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    @property
    def model_name(self) -> str:
        """Its name without the provider."""
        return self._name

    @property
    def system(self) -> str:
        """The provider's name."""
        return "fake"

    async def embed(
        self, inputs: str | Sequence[str], *, input_type: EmbedInputType, settings: EmbeddingSettings | None = None
    ) -> EmbeddingResult:
        """The vectors of these texts."""
        texts, settings = self.prepare_embed(inputs, settings)
        words = [text.lower().split() for text in texts]
        if (longest := max(map(len, words))) > CONTEXT:
            raise ModelHTTPError.for_category(
                ModelContextWindowExceededError,
                status_code=400,
                model_name=self._name,
                body={"error": {"message": f"{longest} tokens, and {CONTEXT} is the most"}},
            )
        dimensions = min(settings.get("dimensions") or DIMENSIONS, DIMENSIONS)
        return EmbeddingResult(
            embeddings=[vector(text, dimensions) for text in texts],
            inputs=texts,
            input_type=input_type,
            model_name=self._name,
            provider_name="fake",
            usage=RequestUsage(input_tokens=sum(map(len, words))),
        )


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """The vector of a text."""
    numbers = [1e-3] * DIMENSIONS  # a text without words has a length, too
    for word in re.findall(r"\w+", text.lower()):
        for part in (word, *(word[at : at + 3] for at in range(len(word) - 3))):
            digest = hashlib.blake2b(part.encode(errors="replace"), digest_size=4).digest()
            numbers[digest[0] % DIMENSIONS] += 1 if digest[1] % 2 else -1
    numbers = numbers[:dimensions]
    length = sum(number * number for number in numbers) ** 0.5
    return [number / length for number in numbers]
