"""Functions whose results are cached."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, Unpack, cast

from rolehost.caching.keys import check_namespace, key_of_arguments, namespace_of
from rolehost.caching.options import CachingKeywords, CachingOptions
from rolehost.caching.values import Caching

P = ParamSpec("P")
T = TypeVar("T")

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Provider(Protocol):
    """The first argument of a cached function; :class:`rolehost.api.Services` implements it."""

    def caching_with(self, namespace: str, value_type: Any, options: CachingOptions) -> Any:
        """See :meth:`rolehost.api.Services.caching_with`."""


class CachedFunction(Generic[P, T]):
    """A function whose results are cached in a namespace; see :func:`cached`."""

    def __init__(
        self,
        function: Callable[Concatenate[Any, P], T],
        namespace: str,
        value_type: Any,
        options: CachingOptions,
        key: Callable[P, str] | None,
    ) -> None:
        self._signature = _without_services(function)
        parameters = self._signature.parameters.values()
        #: If a call has exactly this many positional arguments and no others, they are the key as
        #: they are. -1: always bind them to the parameters.
        self._plain = len(parameters) if all(p.kind in _POSITIONAL for p in parameters) else -1
        functools.update_wrapper(self, function)
        check_namespace(namespace)
        self.namespace = namespace
        self.options = options
        self._function = function
        self._value_type = value_type
        self._key_function = key

    def __call__(self, services: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the cached result, or call the function and cache its result."""
        return self.values(services).get_or_compute(
            self.key(*args, **kwargs), lambda: self._function(services, *args, **kwargs)
        )

    def values(self, services: Provider) -> Caching[T]:
        """Return the namespace of the results, for example to invalidate it."""
        found = services.caching_with(self.namespace, self._type, self.options)
        return cast("Caching[T]", found)

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key for these arguments, including the defaults of omitted ones.

        Raises:
            TypeError: the arguments do not fit the signature, or an argument cannot be part of a
                key.
        """
        if self._key_function is not None:
            return self._key_function(*args, **kwargs)
        given: tuple[Any, ...] = args
        if kwargs or len(args) != self._plain:
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = tuple(bound.arguments.values())
        try:
            return key_of_arguments(given)
        except TypeError as error:
            raise TypeError(
                f"an argument of {self.namespace} cannot be part of a key ({error}); say how:"
                " cached(key=…)"
            ) from error

    def forget(self, services: Provider, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Delete the cached result for these arguments; return whether there was one."""
        return self.values(services).delete(self.key(*args, **kwargs))

    @functools.cached_property
    def _type(self) -> Any:
        """The type of the results; resolved late, because it may be defined after the function."""
        if self._value_type is not None:
            return self._value_type
        # get_type_hints() would also resolve the annotations of parameters, which may be types that
        # are imported under TYPE_CHECKING. So it gets a class with only the return annotation.
        annotation = inspect.get_annotations(self._function).get("return", Any)
        holder = type("Holder", (), {"__annotations__": {"return": annotation}})
        names = getattr(self._function, "__globals__", {})
        found = typing.get_type_hints(holder, globalns=names)["return"]
        return type(None) if found is None else found


def cached(
    *,
    ttl: float | None,
    namespace: str | None = None,
    value_type: Any = None,
    key: Callable[..., str] | None = None,
    **options: Unpack[CachingKeywords],
) -> Callable[[Callable[Concatenate[Any, P], T]], CachedFunction[P, T]]:
    """Cache the results of a function whose first argument is the services.

    ::

        @cached(ttl=60)
        def rate(services: Services, currency: str) -> Rate: ...

        rate(services, "EUR")  # computed about once a minute, if processes share the cache
        rate.forget(services, "EUR")
        rate.values(services).invalidate()

    Results are cached as in :meth:`Caching.get_or_compute`: None is cached like any other result
    unless ``none_ttl`` is set, and exceptions are never cached. The function must not be a
    coroutine function, because storage blocks. Asynchronous code calls it in a thread:
    ``await services.run(rate, services, "EUR")``.

    Args:
        ttl: seconds for which a result is fresh; None: until the cache needs the space.
        namespace: name of the namespace; None: module and name of the function.
        value_type: type of the results; None: the return annotation of the function.
        key: returns the key for the arguments after the services; None: the key is made from the
            values and types of all of them.
        options: see :class:`CachingOptions`.

    Raises:
        TypeError: the function is a coroutine or generator function, or has no argument.
        ValueError: the namespace or an option is not valid.
    """
    behaviour = CachingOptions(ttl=ttl, **options)

    def decorate(function: Callable[Concatenate[Any, P], T]) -> CachedFunction[P, T]:
        name = namespace or namespace_of(f"{function.__module__}.{function.__qualname__}")
        return CachedFunction(function, name, value_type, behaviour, key)

    return decorate


def _without_services(function: Callable[..., Any]) -> inspect.Signature:
    kinds = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if any(kind(function) for kind in kinds):
        raise TypeError(
            f"{function.__qualname__} is a coroutine or generator function: cache a plain"
            " function, and call it in a thread"
        )
    signature = inspect.signature(function)
    names = list(signature.parameters.values())
    if not names or names[0].kind not in _POSITIONAL:
        raise TypeError(f"{function.__qualname__} must take the services as its first argument")
    return signature.replace(parameters=names[1:])
