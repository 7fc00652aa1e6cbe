"""Are the pages that the code writes as the code would write them now?"""

from __future__ import annotations

import pytest

from docs.generate import DOCS, PAGES
from embedded.settings import StackSettings


@pytest.mark.parametrize("name", sorted(PAGES))
def test_generated_page_is_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), (
        f"docs/{name} is stale: run `make docs`"
    )


def test_every_setting_says_what_it_does() -> None:
    assert [name for name, field in StackSettings.model_fields.items() if not field.description] == []
