"""docs/installing.md names every plugin and extra. ``scripts/prove small-plugin`` runs it."""

from __future__ import annotations

import json

from tests.docs.author import ROLEHOST
from tests.proofs.kit import ROOT
from tests.proofs.running import running


def test_the_page_on_installing_names_every_plugin_of_the_repository() -> None:
    text = (ROOT / "docs/installing.md").read_text("utf-8")
    with running([ROLEHOST, "plugins", "--json"], ROOT) as command:
        assert command.wait() == 0
        listed = json.loads(command.output)
    for plugin in listed:
        if str(plugin["distribution"]).startswith("rolehost-"):
            assert f"`{plugin['name']}`" in text
