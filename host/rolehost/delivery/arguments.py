"""Arguments of actors: encoded as JSON by name, decoded to the types of the signature."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from typing import Any

import msgspec

from rolehost.api.contributions import Actor
from rolehost.errors import PayloadError

_encoder = msgspec.json.Encoder()


class Signature:
    """The argument side of one actor; made once per process."""

    __slots__ = ("_actor", "_decoder", "_names", "_required", "_structure")

    def __init__(self, actor: Actor) -> None:
        self._actor = actor.name
        parameters = actor.arguments
        self._names = frozenset(parameters)
        self._required = frozenset(
            name for name, p in parameters.items() if p.default is inspect.Parameter.empty
        )
        self._structure = structure(actor)
        self._decoder = msgspec.json.Decoder(self._structure)

    def encode(self, arguments: Mapping[str, Any]) -> bytes:
        """Encode arguments after checking their names.

        Raises:
            PayloadError: a name is unknown or missing, or a value cannot be encoded.
        """
        given = arguments.keys()
        if not (self._required <= given <= self._names):
            unknown = sorted(given - self._names)
            missing = sorted(self._required - given)
            raise PayloadError(
                f"actor {self._actor} takes {sorted(self._names)}"
                + (f"; unknown: {unknown}" if unknown else "")
                + (f"; missing: {missing}" if missing else "")
            )
        return encode(self._actor, arguments)

    def convert(self, plain: Mapping[str, Any]) -> dict[str, Any]:
        """Convert arguments in JSON's own types to those that the signature names.

        Raises:
            PayloadError: they do not fit.
        """
        try:
            return msgspec.structs.asdict(msgspec.convert(plain, self._structure))
        except msgspec.ValidationError as error:
            raise PayloadError(f"arguments of actor {self._actor}: {error}") from None

    def decode(self, body: bytes) -> dict[str, Any]:
        """Decode arguments to the types that the actor's signature names.

        Raises:
            PayloadError: they do not fit.
        """
        try:
            return msgspec.structs.asdict(self._decoder.decode(body))
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise PayloadError(f"arguments of actor {self._actor}: {error}") from None


def encode(actor: str, arguments: Mapping[str, Any]) -> bytes:
    """Encode arguments of an actor whose signature is not known here.

    Raises:
        PayloadError: a value cannot be encoded.
    """
    try:
        return _encoder.encode(arguments)
    except (TypeError, msgspec.EncodeError, ValueError) as error:
        raise PayloadError(f"arguments of actor {actor}: {error}") from None


def structure(actor: Actor) -> type[msgspec.Struct]:
    """Make the type that an actor's arguments are decoded to: a field for each of them."""
    parameters = actor.arguments
    try:
        hints = typing.get_type_hints(actor.fn)
    except NameError:
        # A name that is imported for type checkers only: take the values as JSON gives them.
        hints = {}
    fields: list[Any] = []
    for name, parameter in parameters.items():
        kind = hints.get(name, Any)
        if parameter.default is inspect.Parameter.empty:
            fields.append((name, kind))
        else:
            default = parameter.default
            if default.__class__ in (list, dict, set):
                fields.append((name, kind, msgspec.field(default_factory=default.copy)))
            else:
                fields.append((name, kind, default))
    # Required fields may follow optional ones in a signature of keyword-only arguments.
    return msgspec.defstruct(actor.name, fields, kw_only=True, forbid_unknown_fields=True)
