"""Structured output and images, of every provider: what it is sent, and what comes back."""

import json
from base64 import b64encode
from typing import Any

import pytest
from pydantic import ValidationError

from tests.core.llm.conftest import Open
from tests.core.llm.pictures import GIF, JPEG, PNG, WEBP
from tests.core.llm.server import Answer, Asked, Script, Server
from tests.core.llm.vendors import VENDORS, OpenAI, Vendor, settings
from yeoul.core.base import json_schema
from yeoul.core.llm.catalogue import Catalogue
from yeoul.core.llm.errors import ModelCannot, RequestRejected
from yeoul.core.llm.images import Image
from yeoul.core.llm.schemas import Capability, CompletionRequest, Message, TextDelta

every_vendor = pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
PICTURE = Image(media_type="image/png", data=PNG)


def says(events: list[str]) -> Script:
    async def script(asked: Asked, answer: Answer) -> None:
        await answer.open_stream()
        for event in events:
            await answer.piece(event)
        await answer.end()

    return script


@every_vendor
async def test_a_schema_is_sent_and_json_streamed_as_text(
    vendor: Vendor, vendor_server: Server, open_gateway: Open
) -> None:
    pieces = ['{"name": ', '"Mina", ', '"age": 30}']
    vendor_server.scripts = [says(vendor.events(pieces))]
    gateway = open_gateway(vendor.settings(vendor_server.url))
    request = CompletionRequest.ask("Who?", model=vendor.model, response_schema=PERSON)
    items = [item async for item in gateway.stream(request)]
    assert [item.text for item in items if isinstance(item, TextDelta)] == pieces
    sent = vendor.schema(vendor_server.asked[0].body)
    assert sent["properties"] == PERSON["properties"]
    assert sorted(sent["required"]) == ["age", "name"]
    assert request.response_schema == PERSON, "what a provider changes is its own"


@every_vendor
async def test_without_a_schema_no_form_is_asked(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    vendor_server.scripts = [says(vendor.events(["Yes."]))]
    await open_gateway(vendor.settings(vendor_server.url)).complete(CompletionRequest.ask("hi", model=vendor.model))
    with pytest.raises(KeyError):
        vendor.schema(vendor_server.asked[0].body)


@every_vendor
async def test_images_go_with_the_last_message_of_the_user(
    vendor: Vendor, vendor_server: Server, open_gateway: Open
) -> None:
    vendor_server.scripts = [says(vendor.events(["A dot."]))]
    turns = [("user", "one"), ("assistant", "two"), ("user", "What is this?")]
    request = CompletionRequest(
        model=vendor.model,
        messages=[Message.model_validate({"role": role, "content": text}) for role, text in turns],
        images=[PICTURE, Image(media_type="image/webp", data=WEBP)],
    )
    await open_gateway(vendor.settings(vendor_server.url)).complete(request)
    body = vendor_server.asked[0].body
    assert vendor.images(body) == [("image/png", PNG), ("image/webp", WEBP)]
    *before, _ = body.get("messages") or body["contents"]
    assert "image" not in json.dumps(before)
    assert "What is this?" in json.dumps(body)


@every_vendor
async def test_tokens_from_the_cache(vendor: Vendor, vendor_server: Server, open_gateway: Open) -> None:
    vendor_server.scripts = [says(vendor.events(["Yes."])), says(vendor.cached(["Yes."]))]
    gateway = open_gateway(vendor.settings(vendor_server.url))
    full = await gateway.complete(CompletionRequest.ask("hi", model=vendor.model))
    less = await gateway.complete(CompletionRequest.ask("hi", model=vendor.model))
    assert full.usage is not None
    assert less.usage is not None
    assert (full.usage.cached_input_tokens, less.usage.cached_input_tokens) == (None, 8)
    assert less.usage.input_tokens == 12
    if vendor.name in {"openai", "anthropic", "gemini"}:
        assert full.cost.usd is not None
        assert less.cost.usd is not None
        assert less.cost.usd < full.cost.usd


async def test_a_schema_that_a_provider_has_no_way_to_say(vendor_server: Server, open_gateway: Open) -> None:
    vendor = VENDORS[1]
    gateway = open_gateway(vendor.settings(vendor_server.url))
    request = CompletionRequest.ask("hi", model=vendor.model, response_schema={"description": "no type"})
    with pytest.raises(RequestRejected):
        await gateway.complete(request)
    assert vendor_server.asked == []


FAKE = settings(fake_models=True)


@pytest.mark.parametrize(
    ("question", "schema", "expected"),
    [
        ("Mina is 30", PERSON, {"name": "Mina is 30", "age": 30}),
        ("no number", PERSON, {"name": "no number", "age": 0}),
        ("it is blue", {"type": "string", "enum": ["red", "blue"]}, "blue"),
        ("FAIL", {"type": "object", "properties": {"passed": {"type": "boolean"}}}, {"passed": False}),
        ("fine", {"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ("7 or 3", {"type": "integer", "minimum": 1, "maximum": 5}, 3),
        ("x", {"type": "number", "exclusiveMinimum": 0}, 1),
        ("hello", {"type": "string", "maxLength": 3}, "hel"),
        ("hi", {"type": "string", "minLength": 4}, "hi.."),
        ("hi", {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}], "$defs": {"a": {"const": 5}}}, 5),
        ("hi", {"type": ["null", "string"]}, None),
    ],
)
async def test_the_scripted_model_answers_json_that_fits(
    question: str, schema: dict[str, Any], expected: Any, open_gateway: Open
) -> None:
    request = CompletionRequest.ask(question, model="fake/echo", response_schema=schema)
    done = await open_gateway(FAKE).complete(request)
    assert json.loads(done.text) == expected
    assert json_schema.faults(schema, expected) == []


async def test_the_scripted_model_sees_images(open_gateway: Open) -> None:
    request = CompletionRequest.ask(
        "look:", model="fake/echo", images=[PICTURE, Image(media_type="image/gif", data=GIF)]
    )
    done = await open_gateway(FAKE).complete(request)
    assert done.text == f"look: [image/png, {len(PNG)} bytes] [image/gif, {len(GIF)} bytes]"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"images": [PICTURE]}, "`fake/slow` reads no images. Models that can: `fake/echo`."),
        ({"response_schema": PERSON}, "`fake/slow` cannot keep to a JSON Schema. Models that can:"),
    ],
)
async def test_what_a_model_cannot_do_is_refused_and_names_those_that_can(
    asked: dict[str, Any], words: str, open_gateway: Open
) -> None:
    gateway = open_gateway(FAKE)
    request = CompletionRequest.ask("hi", model="fake/slow", **asked)
    for refuse in (gateway.check, lambda one: gateway._catalogue.check(gateway.route(one.model), one)):
        with pytest.raises(ModelCannot) as refused:
            refuse(request)
        assert refused.value.detail.startswith(words)
    with pytest.raises(ModelCannot):
        await gateway.complete(request)
    assert gateway.check(CompletionRequest.ask("hi", model="fake/echo", **asked)).id == "fake/echo"


async def test_gemini_reads_no_gifs(open_gateway: Open) -> None:
    gateway = open_gateway(settings(gemini_api_key="k"))
    gif = Image(media_type="image/gif", data=GIF)
    with pytest.raises(ModelCannot, match="reads no image/gif; it reads image/jpeg, image/png, image/webp"):
        gateway.check(CompletionRequest.ask("hi", model="gemini/gemini-3.8-flash", images=[gif]))


def test_the_catalogue_says_which_models_can() -> None:
    chosen = settings(
        fake_models=True, compatible_models="plain,seeing", compatible_image_models="seeing", local_model="smollm2-135m"
    )
    both: set[Capability] = {"images", "json_schema"}
    able = {model.id: set(model.capabilities) & both for model in Catalogue(chosen).models()}
    assert able["openai/gpt-4.1-mini"] == able["perplexity/sonar"] == able["fake/echo"] == {"images", "json_schema"}
    assert able["compatible/seeing"] == {"images", "json_schema"}
    assert able["compatible/plain"] == able["local/smollm2-135m"] == {"json_schema"}
    assert able["fake/slow"] == able["openai/text-embedding-3-small"] == set()
    without = Catalogue(chosen.model_copy(update={"compatible_json_schema": False})).models()
    assert "json_schema" not in next(model.capabilities for model in without if model.id == "compatible/plain")


def test_an_unlisted_model_is_asked_and_its_provider_has_the_last_word() -> None:
    request = CompletionRequest.ask("hi", model="openai/gpt-9", images=[PICTURE], response_schema=PERSON)
    catalogue = Catalogue(settings(openai_api_key="k"))
    catalogue.check(catalogue.route("openai/gpt-9"), request)


@pytest.mark.parametrize(("media_type", "data"), [("png", PNG), ("gif", GIF), ("jpeg", JPEG), ("webp", WEBP)])
def test_images_are_base64_in_json(media_type: str, data: bytes) -> None:
    given = {"media_type": f"image/{media_type}", "data": b64encode(data).decode()}
    image = Image.model_validate(given)
    assert image.data == data
    assert image.model_dump(mode="json") == given
    assert Image.model_validate_json(image.model_dump_json()) == image


@pytest.mark.parametrize(
    ("media_type", "data", "words"),
    [
        ("image/jpeg", b64encode(PNG).decode(), "it says it is image/jpeg, but its bytes are image/png"),
        ("image/png", b64encode(b"<svg/>").decode(), "use PNG, JPEG, WebP or GIF"),
        ("image/svg+xml", b64encode(b"<svg/>").decode(), "'image/png', 'image/jpeg', 'image/webp' or 'image/gif'"),
        ("image/png", "no base64!", "this is no base64"),
        ("image/png", "", "at least 1"),
        ("image/png", "A" * 6_700_000, "an image may have 5,000,000 bytes"),
        ("image/png", PNG + b"x" * 5_000_000, "at most 5000000 bytes"),
    ],
)
def test_what_is_no_image_is_refused(media_type: str, data: object, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Image.model_validate({"media_type": media_type, "data": data})
    assert words in str(refused.value)


def test_at_most_four_images_and_a_message_to_show_them_with() -> None:
    with pytest.raises(ValidationError, match="at most 4"):
        CompletionRequest.ask("hi", images=[PICTURE] * 5)
    with pytest.raises(ValidationError, match="images need a message with the role user"):
        CompletionRequest(messages=[Message(role="assistant", content="hi")], images=[PICTURE])


def test_what_is_no_schema_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValidationError, match="no valid JSON Schema: `type`"):
        CompletionRequest.ask("hi", response_schema={"type": "objct"})


async def test_a_model_of_another_mind_about_its_name(vendor_server: Server, open_gateway: Open) -> None:
    """pydantic-ai knows families of models by their names; the catalogue's word counts."""
    vendor = OpenAI()
    vendor_server.scripts = [says(vendor.events(['{"name": "", "age": 1}']))]
    gateway = open_gateway(settings(compatible_base_url=vendor_server.url))
    await gateway.complete(
        CompletionRequest.ask("hi", model="compatible/deepseek/deepseek-chat", response_schema=PERSON)
    )
    assert vendor.schema(vendor_server.asked[0].body)["required"] == ["name", "age"]
