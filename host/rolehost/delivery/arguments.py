"""Arguments of actors: checked, encoded as JSON by name, decoded to the types of the signature.

:meth:`Signature.decode` can read everything that :meth:`Signature.encode` accepts. So an error
is raised to the caller at once, and does not become a dead letter later.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from rolehost.api.actors import Actor
from rolehost.api.json import is_deeper
from rolehost.errors import PayloadError
from rolehost.failures import describe

#: Encodes arguments after checking them; raises PayloadError.
Encoder = Callable[[Mapping[str, Any]], bytes]

#: Maximum size of the arguments of one job or message as JSON, bytes.
MAX_BYTES = 1_048_576
#: Maximum depth of lists and objects in arguments.
MAX_DEPTH = 100

_encoder = msgspec.json.Encoder()
#: The text of a msgspec error that contains a path.
_PATH = re.compile(r"^(?P<text>.*) - at `(?:key` in `)?\$\.(?P<path>.*)`$", re.DOTALL)


class Signature:
    """The codec of one actor's arguments, made once per process.

    Raises TypeError if an annotation cannot be resolved, or if msgspec cannot decode its type.
    """

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
        """Encode arguments after checking their names, their types, and that JSON can hold them.

        A value must have the annotated type or its JSON form: for example a ``datetime`` or its
        ISO text, or ``{"1": …}`` for a dict with integer keys. Other values are not converted:
        ``"1"`` and ``True`` are not ``int``. Raises PayloadError with the actor and argument.
        """
        if type(arguments) is not dict and not isinstance(arguments, Mapping):
            raise PayloadError(
                f"arguments of actor {self._actor} must be a mapping of names to values, not"
                f" {type(arguments).__name__}"
            )
        names = arguments.keys()
        if not (self._required <= names <= self._names):
            unknown = sorted(map(str, names - self._names))
            missing = sorted(self._required - names)
            raise PayloadError(
                f"actor {self._actor} takes {sorted(self._names)}"
                + (f"; unknown: {unknown}" if unknown else "")
                + (f"; missing: {missing}" if missing else "")
            )
        plain = dict(arguments)
        body = encode(self._actor, plain)
        try:
            # The first call checks the values, the second the JSON that the worker will read. Only
            # the second checks the content of objects that already have the right type.
            msgspec.convert(plain, self._structure, str_keys=True)
            self._decoder.decode(body)
        except Exception as error:  # types may run their own code
            raise _payload_error(self._actor, plain, error) from None
        return body

    def convert(self, plain: Mapping[str, Any]) -> dict[str, Any]:
        """Convert plain JSON types to those of the signature; PayloadError if they do not fit."""
        try:
            return msgspec.structs.asdict(msgspec.convert(plain, self._structure))
        except (ValueError, RecursionError) as error:
            raise PayloadError(f"arguments of actor {self._actor}: {error}") from None

    def decode(self, body: bytes) -> dict[str, Any]:
        """Decode arguments to the types of the signature; PayloadError if they do not fit."""
        try:
            return msgspec.structs.asdict(self._decoder.decode(body))
        except (ValueError, TypeError, RecursionError) as error:
            raise PayloadError(f"arguments of actor {self._actor}: {error}") from None


def encode(actor: str, plain: Mapping[str, Any]) -> bytes:
    """Encode arguments of any types. Raises PayloadError if JSON cannot hold them."""
    try:
        body = _encoder.encode(plain)
        if len(body) > MAX_BYTES:
            raise ValueError(f"they take {len(body)} bytes as JSON; at most {MAX_BYTES}")
        if is_deeper(body, MAX_DEPTH):
            raise ValueError(f"they are nested more than {MAX_DEPTH} levels deep")
    except Exception as error:  # encoding runs code of the objects, which may raise anything
        raise _payload_error(actor, plain, error) from None
    # JSON has no NaN: msgspec writes null, or a text if it is a key. PERF: all values are checked
    # only if the JSON contains what it writes for NaN, infinity or a NUL character.
    if b"null" in body or b"\\u0000" in body or b'nan"' in body or b'inf"' in body:
        for path, why in _not_in_json(msgspec.to_builtins(plain)):
            raise PayloadError(f"argument {path} of actor {actor}: {why}")
    return body


def _payload_error(actor: str, plain: Mapping[str, Any], error: Exception) -> PayloadError:
    """Name the argument that caused an error, if it can be found."""
    text = str(error) if isinstance(error, ValueError) else describe(error)
    if found := _PATH.match(text):
        return PayloadError(f"argument {found['path']} of actor {actor}: {found['text']}")
    for name, value in plain.items():
        try:
            msgspec.json.encode(value)
        except RecursionError:
            text = f"it contains itself, or is nested more than {MAX_DEPTH} levels deep"
        except Exception as broken:  # encoding runs code of the objects
            text = describe(broken)
        else:
            continue
        return PayloadError(f"argument {name} of actor {actor}: {text}")
    return PayloadError(f"arguments of actor {actor}: {text}")


def _not_in_json(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the paths of values that JSON, or a text column, cannot hold, each with the reason."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield path, f"JSON cannot hold {value}"
    elif isinstance(value, str):
        if "\0" in value:
            yield path, "text must not contain a NUL character"
    elif isinstance(value, dict):
        for key, each in value.items():
            name = str(key).replace("\0", "\\0")
            inner = f"{path}.{name}" if path else name
            yield from _not_in_json(key, inner)
            yield from _not_in_json(each, inner)
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from _not_in_json(each, f"{path}[{index}]")


def resolve(actor: Actor) -> dict[str, Any]:
    """Return the type of each argument, by default ``Any``. Raises like :func:`annotation`."""
    # Annotations are resolved one by one, because others may exist for type checkers only.
    return {
        name: Any
        if parameter.annotation is inspect.Parameter.empty
        else annotation(actor, parameter)
        for name, parameter in actor.arguments.items()
    }


def annotation(actor: Actor, parameter: inspect.Parameter) -> Any:
    """Return the type that an annotation names; TypeError if it cannot be resolved."""
    name = parameter.name
    alone = types.SimpleNamespace(__annotations__={name: parameter.annotation})
    try:
        return typing.get_type_hints(alone, _globals(actor.fn), include_extras=True)[name]
    except Exception as error:  # an annotation is evaluated, so it may raise anything
        raise TypeError(
            f"the annotation of argument {name} of actor {actor.name} cannot be resolved:"
            f" {describe(error)}"
        ) from None


def _globals(fn: Any) -> dict[str, Any]:
    """Return the namespace in which annotations of a function or callable object are evaluated."""
    fn = inspect.unwrap(fn)
    while isinstance(fn, functools.partial):
        fn = inspect.unwrap(fn.func)
    fn = getattr(fn, "__func__", fn)
    if not hasattr(fn, "__globals__"):
        fn = type(fn).__call__
    found: dict[str, Any] = getattr(fn, "__globals__", {})
    return found


def structure(actor: Actor) -> type[msgspec.Struct]:
    """Make the type that an actor's arguments are decoded to. Raises like :func:`annotation`."""
    hints = resolve(actor)
    fields: list[Any] = []
    for name, parameter in actor.arguments.items():
        default = parameter.default
        if default is inspect.Parameter.empty:
            fields.append((name, hints[name]))
        elif default.__class__ in (list, dict, set):
            fields.append((name, hints[name], msgspec.field(default_factory=default.copy)))
        else:
            fields.append((name, hints[name], default))
    # kw_only: required fields may follow optional ones, as keyword-only arguments may.
    return msgspec.defstruct(actor.name, fields, kw_only=True, forbid_unknown_fields=True)


def check(actor: Actor) -> None:
    """Check that jobs of an actor could be enqueued and read.

    Raises TypeError if an annotation cannot be resolved, if no JSON value has its type, or if a
    default does not fit the type.
    """
    for name, kind in resolve(actor).items():
        label = f"argument {name} of actor {actor.name}"
        try:
            decoder = msgspec.json.Decoder(kind)
        except (TypeError, ValueError, RecursionError) as error:
            raise TypeError(f"{label}: no JSON value has its type: {error}") from None
        if custom := _custom(kind):
            raise TypeError(f"{label}: no JSON value has the type {custom}")
        default = actor.arguments[name].default
        if default is inspect.Parameter.empty:
            continue
        try:
            msgspec.convert(default, kind)
            decoder.decode(_encoder.encode(default))
        except Exception as error:  # a default may be any object
            raise TypeError(
                f"{label}: its default does not fit its type: {describe(error)}"
            ) from None


def _custom(kind: Any) -> str:
    """Return the name of the first type in ``kind`` that msgspec does not support; or ""."""
    found: list[str] = []

    def hook(each: Any) -> dict[str, Any]:
        if each is not object:  # accepts any value, like Any
            found.append(f"{each.__module__}.{each.__qualname__}")
        return {}

    # msgspec calls the hook for types that it has no JSON schema for; the schema is not used.
    with contextlib.suppress(Exception):
        msgspec.json.schema(kind, schema_hook=hook)
    return found[0] if found else ""
