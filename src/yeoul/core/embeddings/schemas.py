"""What clients ask about embeddings, and what they get."""

import base64
import sys
from array import array
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from yeoul.core.completions.errors import InvalidParameter, refuse
from yeoul.core.llm.schemas import DEFAULT_MODEL, LONGEST_TEXT, MOST_TEXTS, EmbeddingRequest, Embeddings, InputType

MOST_IN_A_JOB = 512

Encoding = Literal["float", "base64"]
"""``float``: a list of numbers. ``base64``: the same as 32-bit little-endian floats, a quarter as long."""


class OpenAIEmbeddingRequest(BaseModel):
    """OpenAI's request for embeddings, and ``input_type``. What is not known is refused by name."""

    model_config = ConfigDict(extra="allow")

    input: Any = Field(
        description=f"A text, or a list of 1 to {MOST_TEXTS:,}; each of 1 to {LONGEST_TEXT:,} characters.",
        examples=["여울은 강물이 빠르게 흐르는 곳이다.", ["one", "two"]],
    )
    model: str = Field(default=DEFAULT_MODEL, description="`provider/model`, or `default`.")
    encoding_format: Encoding | None = None
    dimensions: int | None = None
    input_type: InputType | None = Field(default=None, description="`query` unless it is said.")

    def question(self) -> EmbeddingRequest:
        """What the gateway is asked; raises ``UnsupportedParameter`` and ``InvalidParameter``."""
        refuse(self.model_extra or {}, frozenset({"user"}))
        fields = {"model": self.model, "dimensions": self.dimensions, "input_type": self.input_type}
        try:
            return EmbeddingRequest.model_validate({"texts": _texts(self.input), **fields})
        except ValidationError as error:
            first = error.errors()[0]
            name, *rest = first["loc"]
            at = "".join(["input" if name == "texts" else str(name), *(f"[{n}]" for n in rest)])
            raise InvalidParameter(at, first["msg"]) from None


def _texts(given: object) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list):
        raise InvalidParameter("input", "give a text, or a list of texts")
    if len(texts) > MOST_TEXTS:
        raise InvalidParameter("input", f"{len(texts):,} texts are too many: {MOST_TEXTS:,} go in a request")
    for n, text in enumerate(texts):
        if isinstance(text, int | list):
            raise InvalidParameter(
                "input",
                "tokens are not taken, as each model has its own: send the text itself (in LangChain's "
                "OpenAIEmbeddings, check_embedding_ctx_length=False)",
            )
        if not isinstance(text, str):
            raise InvalidParameter(f"input[{n}]", "give a text")
        if not text:
            raise InvalidParameter(f"input[{n}]", "an empty text has no embedding: leave it out")
        if len(text) > LONGEST_TEXT:
            raise InvalidParameter(
                f"input[{n}]",
                f"it has {len(text):,} characters, and {LONGEST_TEXT:,} is the most: cut it into passages",
            )
    return texts


def encode(vector: "array[float]", encoding: Encoding) -> str | list[float]:
    """A vector as JSON has it."""
    if encoding == "float":
        return vector.tolist()
    if sys.byteorder == "big":
        vector = vector[:]
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode()


def decode(encoded: str) -> "array[float]":
    """The vector that ``encode`` made base64 of."""
    vector = array("f", base64.b64decode(encoded))
    if sys.byteorder == "big":
        vector.byteswap()
    return vector


def openai_answer(made: Embeddings, encoding: Encoding) -> dict[str, Any]:
    """OpenAI's answer. Tokens a provider does not tell are 0: OpenAI has no word for unknown."""
    data = [
        {"object": "embedding", "index": n, "embedding": encode(vector, encoding)}
        for n, vector in enumerate(made.vectors)
    ]
    tokens = made.tokens or 0
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": made.model, "usage": usage}


def _some_text(text: str) -> str:
    if not text.replace("\0", ""):
        raise ValueError("an empty text has no embedding: leave it out")
    return text


class EmbedInput(BaseModel):
    """Texts to turn into vectors, up to 512. ``encoding_format`` is how the output has them."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(
        default=DEFAULT_MODEL, min_length=1, max_length=200, description="`provider/model`, or `default`."
    )
    texts: list[Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(_some_text)]] = Field(
        min_length=1, max_length=MOST_IN_A_JOB
    )
    dimensions: int | None = Field(default=None, ge=1, le=16_384)
    input_type: InputType | None = None
    encoding_format: Encoding = "base64"


class EmbedOutput(BaseModel):
    """The vectors, in the order of the texts. ``usd`` is null when nobody knows the price, ``tokens`` likewise."""

    vectors: list[str] | list[list[float]]
    dimensions: int
    tokens: int | None
    usd: str | None
    model: str
