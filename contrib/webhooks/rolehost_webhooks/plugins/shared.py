"""Migrations that the plugins share, so that each plugin can be enabled alone."""

from __future__ import annotations

from rolehost.api import Migrations

from rolehost_webhooks.models import MODELS

MIGRATIONS = Migrations(package="rolehost_webhooks.migrations", models=MODELS, owner="webhooks")
