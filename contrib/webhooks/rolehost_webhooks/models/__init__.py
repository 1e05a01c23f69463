"""The tables, one module for each model; the host binds them to the service database."""

from rolehost_webhooks.models.application import Application
from rolehost_webhooks.models.attempt import Attempt, Cause, Trigger
from rolehost_webhooks.models.delivery import Delivery, Status
from rolehost_webhooks.models.endpoint import Endpoint
from rolehost_webhooks.models.event_type import EventType
from rolehost_webhooks.models.message import Message

#: All models, for the migrations of the plugins.
MODELS = (Application, Endpoint, EventType, Message, Delivery, Attempt)

__all__ = [
    "MODELS",
    "Application",
    "Attempt",
    "Cause",
    "Delivery",
    "Endpoint",
    "EventType",
    "Message",
    "Status",
    "Trigger",
]
