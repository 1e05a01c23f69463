"""The plugin's one table."""

from __future__ import annotations

from peewee import IntegerField, Model, TextField


class StoredGreeting(Model):
    """A greeting, how often it was handled, and how often counted; once each is right."""

    id = TextField(primary_key=True)
    name = TextField()
    handled = IntegerField(default=0)
    counted = IntegerField(default=0)

    class Meta:
        table_name = "reference_greetings"
