"""A product of another package, with pages: made in a folder that, on Python's path, offers it to every ``yeoul``."""

from pathlib import Path

PRODUCT = """
from pathlib import Path

from yeoul.product import Menu, Page, Product

product = Product(
    "ponds",
    pages=(
        Page("/ponds", "ponds.html", menu=Menu("Still waters", icon="M3 10h14", key="w")),
        Page("/ponds/{id}", "ponds.html"),
        Page("/shore/{id}", "shore.html", public=True),
    ),
    console=Path(__file__).parent / "console",
)
"""

FILES = {
    "ponds/__init__.py": "",
    "ponds/product.py": PRODUCT,
    "ponds/console/templates/ponds.html": """{% extends "app.html" %}
{% block title %}{{ _("Still waters") }}{% endblock %}
{% block script %}{{ asset("products/ponds/js/ponds.js") }}{% endblock %}
{% block main_data %} data-pond="{{ parameters.id|default('') }}"{% endblock %}
{% block content %}{% include "ponds/pond.html" %}{% endblock %}
""",
    "ponds/console/templates/pond.html": """<h1 tabindex="-1">{{ _("Still waters") }}</h1><p data-f="depth"></p>
<p>{{ _("Settings") }}</p>
""",
    "ponds/console/templates/shore.html": """{% extends "public.html" %}
{% block title %}{{ _("The shore") }}{% endblock %}
{% block content %}<h1 tabindex="-1">{{ _("The shore") }}</h1><p>{{ parameters.id }}</p>{% endblock %}
""",
    "ponds/console/static/css/ponds.css": ".pond-depth { color: rgb(1, 2, 3); }\n",
    "ponds/console/static/js/ponds.js": """import { field, say } from "../../../js/dom.js";
import { t } from "../../../js/i18n.js";

export function mount(main) {
  const depth = field(main, "depth");
  depth.className = "pond-depth";
  say(depth, t("Deep"));
}
""",
    "ponds/console/locale/ko/LC_MESSAGES/messages.po": """msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"

#: ../product.py
msgid "Still waters"
msgstr "잔잔한 물"

#: static/js/ponds.js
msgid "Deep"
msgstr "깊어요"

#: templates/pond.html
msgid "Settings"
msgstr "또 다른 말"
""",
    "ponds-0.dist-info/METADATA": "Metadata-Version: 2.1\nName: ponds\nVersion: 0\n",
    "ponds-0.dist-info/entry_points.txt": "[yeoul.products]\nponds = ponds.product:product\n",
}


def offered(folder: Path) -> Path:
    """Makes such a folder."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
