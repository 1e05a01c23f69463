"""What the plugins have in common: the tables, so that each may be enabled alone."""

from __future__ import annotations

from rolehost.api import Migrations

from rolehost_webhooks.models import MODELS

MIGRATIONS = Migrations(package="rolehost_webhooks.migrations", models=MODELS, owner="webhooks")
