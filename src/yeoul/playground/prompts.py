"""Making prompts. One is never changed: a changed one is the next version of its family."""

import hashlib
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from yeoul.core.base import json
from yeoul.core.base.ids import new_id
from yeoul.playground import repository
from yeoul.playground.cases import variables
from yeoul.playground.errors import PromptNotFound
from yeoul.playground.requests import Execute
from yeoul.playground.tables import Image, Prompt

CONTENT = ("name", "system_prompt", "user_prompt", "parameters", "response_schema", "images")
"""What makes a version: where none of it differs, there is no other version."""


async def make(session: AsyncSession, owner_id: UUID, given: Execute, selected_model: str) -> Prompt:
    """A new prompt, the next version of ``version_of``, or that one itself where nothing differs.

    Raises ``PromptNotFound``.
    """
    content = _content(given)
    made = new_id()
    family_id, version = made, 1
    if given.version_of is not None:
        before = await repository.prompt(session, given.version_of)
        if before is None:
            raise PromptNotFound
        if "name" not in given.model_fields_set:
            content["name"] = before.name
        if all(getattr(before, name) == content[name] for name in CONTENT):
            return before
        family_id, version = before.family_id, await repository.next_version(session, before.family_id)
    prompt = Prompt(
        id=made, owner_id=owner_id, family_id=family_id, version=version, selected_model=selected_model, **content
    )
    session.add(prompt)
    await session.flush()
    session.add_all(
        Image(prompt_id=made, number=number, owner_id=owner_id, data=image.data)
        for number, image in enumerate(given.images, 1)
    )
    await session.flush()
    return prompt


def _content(given: Execute) -> dict[str, Any]:
    system_prompt = json.clean_text(given.system_prompt) if given.system_prompt else None
    user_prompt = json.clean_text(given.user_prompt)
    return {
        "name": json.clean_text(given.name) if given.name else None,
        "system_prompt": system_prompt,
        "user_prompt": user_prompt,
        "parameters": given.parameters.model_dump(mode="json", exclude_none=True),
        "response_schema": json.clean(given.response_schema),
        "variables": variables(system_prompt, user_prompt),
        "images": [
            {
                "media_type": image.media_type,
                "bytes": len(image.data),
                "sha256": hashlib.sha256(image.data).hexdigest(),
            }
            for image in given.images
        ],
    }
