"""A separate schema for a test in a shared PostgreSQL database."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from rolehost.api import Backend, Secret
from rolehost.composition import probe
from rolehost.deployment import Deployment
from rolehost.errors import ConfigurationError
from rolehost.storage import Database

from rolehost_testing.kit.selecting import present


class OwnSchema(NamedTuple):
    """A created schema.

    Attributes:
        name: name of the schema.
        settings: settings of the plugin ``postgres`` that select the schema.
        database: the database, connected without the schema.
    """

    name: str
    settings: dict[str, Any]
    database: Database

    def drop(self) -> None:
        """Drop the schema with everything in it."""
        _run(self.database, f"DROP SCHEMA {self.name} CASCADE")
        self.database.close()


def own_schema(deployed: Deployment, settings: Mapping[str, Any]) -> OwnSchema:
    """Create a schema in the database that the settings of the plugin ``postgres`` name.

    Raises:
        LookupError: the plugin is not installed, or its settings have no ``url``.
        ConfigurationError: the settings are wrong.
    """
    found = next((each for each in present() if each.name == "postgres"), None)
    if found is None or "url" not in settings:
        raise LookupError(
            "backends of the plugin postgres need rolehost-postgres, and"
            " settings={'postgres': {'url': postgres_url}}"
        )
    probed = probe(deployed, found)
    if probed.problems:
        raise ConfigurationError(probed.problems)
    offered = probed.contributions.of(Backend)
    database: Database = next(o.value for o in offered if o.value.kind == "database").factory()
    name = f"test_{uuid.uuid4().hex}"
    _run(database, f"CREATE SCHEMA {name}")
    given = settings["url"]
    url = given.reveal() if isinstance(given, Secret) else str(given)
    separator = "&" if "?" in url else "?"
    own = f"{url}{separator}options={quote(f'-csearch_path={name}')}"
    return OwnSchema(name, {"url": own}, database)


def _run(database: Database, sql: str) -> None:
    with database.session(), database.transaction() as tx:
        tx.execute(sql)
