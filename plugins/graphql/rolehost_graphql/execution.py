"""Runs one request: parse, validate, measure, execute, and report the result."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    execute,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)
from graphql.validation import recommended_rules
from rolehost.api import StorageUnavailable, ValueRefused
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from structlog.contextvars import get_contextvars

from rolehost_graphql import errors, metrics
from rolehost_graphql.context import Context
from rolehost_graphql.errors import Refused
from rolehost_graphql.measuring import Limits, Measure, count_aliases, measure
from rolehost_graphql.merging import Merged
from rolehost_graphql.settings import GraphqlSettings

log = structlog.get_logger("rolehost_graphql")

Translate = Callable[[BaseException], Refused | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphqlRequest:
    """A request of a client.

    Attributes:
        query: the document.
        variables: values of the variables by name.
        operation: name of the operation to run, or None if the document has only one.
    """

    query: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to a request.

    Attributes:
        body: ``data`` and ``errors`` as JSON.
        status: HTTP status if the media type is ``application/graphql-response+json``.
        failed: whether there are errors.
        refused: the error code if nothing was executed, else empty.
    """

    body: dict[str, Any]
    status: int = 200
    failed: bool = False
    refused: str = ""


class Refusal(Exception):
    """A request that is not executed.

    Attributes:
        answer: the answer for the client.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def refuse(message: str, code: str, status: int = 400, **extensions: Any) -> Refusal:
    """Return the refusal of a request for one reason."""
    body = _error(message, code, **extensions)
    return Refusal(Answer(body=body, status=status, failed=True, refused=code))


def _error(message: str, code: str, **extensions: Any) -> dict[str, Any]:
    return {"errors": [{"message": message, "extensions": {"code": code, **extensions}}]}


class Executor:
    """Executes operations of one schema; thread-safe."""

    def __init__(
        self,
        merged: Merged,
        settings: GraphqlSettings,
        translations: Iterable[Translate],
        *,
        introspection: bool,
    ) -> None:
        self._schema = merged.core
        self._settings = settings
        self._translations = tuple(translations)
        self._rules = (*specified_rules, *recommended_rules)
        if not introspection:
            self._rules = (*self._rules, NoSchemaIntrospectionCustomRule)
        self._hide_names = not introspection
        self._limits = Limits(settings.max_depth, settings.max_cost, settings.list_size)
        self._documents: OrderedDict[str, DocumentNode] = OrderedDict()
        self._lock = threading.Lock()

    async def run(self, request: GraphqlRequest, context: Context, *, only_queries: bool) -> Answer:
        """Execute one request if it is valid and within the limits.

        Args:
            only_queries: refuse mutations, as for GET.
        """
        started = time.perf_counter()
        kind = metrics.UNKNOWN
        try:
            document = self._document(request.query)
            operation = _operation(document, request.operation)
            kind = operation.operation.value
            if only_queries and operation.operation is not OperationType.QUERY:
                raise refuse("GET is for queries; use POST.", errors.BAD_REQUEST, 405)
            answer = await self._run(document, operation, request, context, started)
        except Refusal as refusal:
            answer = refusal.answer
        except RecursionError:
            # Parsing, validating or measuring raised it; resolver errors are in the result.
            message = "The document is nested too deeply."
            answer = refuse(message, errors.TOO_DEEP).answer
        seconds = time.perf_counter() - started
        if answer.refused:
            metrics.count_refused(context.services, kind, answer.refused)
        else:
            metrics.count_executed(context.services, kind, seconds, failed=answer.failed)
        return answer

    async def _run(
        self,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        request: GraphqlRequest,
        context: Context,
        started: float,
    ) -> Answer:
        try:
            measured = measure(self._schema, document, operation, request.variables, self._limits)
        except Refused as error:
            raise refuse(str(error), error.code, **error.extensions) from None
        result = await self._execute(document, request, context)
        answer = self._answer(result)
        if self._settings.log:
            _log_operation(operation, measured, answer, time.perf_counter() - started)
        return answer

    def _document(self, text: str) -> DocumentNode:
        """Return the parsed and validated document; valid documents are cached.

        Raises:
            Refusal: the document is invalid.
        """
        with self._lock:
            known = self._documents.get(text)
            if known is not None:
                self._documents.move_to_end(text)
                return known
        try:
            document = parse(text, max_tokens=self._settings.max_tokens)
        except GraphQLError as error:
            raise _refuse_document([error], errors.PARSE_FAILED) from None
        count = count_aliases(document)
        if count > self._settings.max_aliases:
            raise refuse(
                f"The document has {count} aliases; {self._settings.max_aliases} are allowed.",
                errors.TOO_MANY_ALIASES,
                maxAliases=self._settings.max_aliases,
            )
        problems = validate(
            self._schema, document, self._rules, max_errors=20, hide_suggestions=self._hide_names
        )
        if problems:
            raise _refuse_document(problems, errors.VALIDATION_FAILED)
        with self._lock:
            self._documents[text] = document
            while len(self._documents) > self._settings.cached_documents:
                self._documents.popitem(last=False)
        return document

    async def _execute(
        self, document: DocumentNode, request: GraphqlRequest, context: Context
    ) -> ExecutionResult:
        result = execute(
            self._schema,
            document,
            context_value=context,
            variable_values=dict(request.variables),
            operation_name=request.operation,
            executor_class=StrawberryGraphQLCoreExecutionContext,
            hide_suggestions=self._hide_names,
        )
        if not isinstance(result, ExecutionResult):
            try:
                # Interrupts resolvers that await anything other than the database.
                async with asyncio.timeout(self._settings.time_limit):
                    result = await result
            except TimeoutError:
                await _cancel_tasks()
                seconds = self._settings.time_limit
                message = f"The operation took longer than {seconds:g} s."
                body = _error(message, errors.TIME_LIMIT)
                raise Refusal(Answer(body=body, status=504, failed=True)) from None
        if result.errors:
            await _cancel_tasks()
        return result

    def _answer(self, result: ExecutionResult) -> Answer:
        failed = result.errors or []
        body: dict[str, Any] = {}
        if failed:
            body["errors"] = [self._format_error(error) for error in failed]
        if result.data is None and failed and all(error.path is None for error in failed):
            # Nothing was executed, because variables are invalid.
            return Answer(body=body, status=400, failed=True, refused=errors.BAD_USER_INPUT)
        body["data"] = result.data
        return Answer(body=body, failed=bool(failed))

    def _format_error(self, error: GraphQLError) -> dict[str, Any]:
        """Return an error for the client; unexpected errors are masked and logged."""
        shown: dict[str, Any] = {"message": error.message}
        if error.locations:
            shown["locations"] = [
                {"line": each.line, "column": each.column} for each in error.locations
            ]
        if error.path is not None:
            shown["path"] = list(error.path)
        cause = error.original_error
        if cause is None or isinstance(cause, GraphQLError):
            # The error is in the document or its variables, not in a resolver.
            shown["extensions"] = {"code": errors.BAD_USER_INPUT, **(error.extensions or {})}
            return shown
        refusal = cause if isinstance(cause, Refused) else self._translate(cause)
        if refusal is not None:
            shown["message"] = str(refusal)
            shown["extensions"] = {"code": refusal.code, **refusal.extensions}
            return shown
        path = ".".join(map(str, error.path or ()))
        if isinstance(cause, ValueRefused):
            # The original message contains details of the database.
            shown["message"] = "A value cannot be stored or searched for."
            shown["extensions"] = {"code": errors.BAD_USER_INPUT}
            return shown
        if isinstance(cause, StorageUnavailable):
            log.warning("storage is unavailable", path=path, error=str(cause))
            shown["message"] = "A storage that this needs is unavailable."
            code = errors.UNAVAILABLE
        else:
            log.error("a resolver failed", path=path, exc_info=cause)
            shown["message"] = "Internal error"
            code = errors.INTERNAL
        shown["extensions"] = {"code": code}
        request_id = get_contextvars().get("request_id")
        if request_id:
            shown["extensions"]["requestId"] = request_id
        return shown

    def _translate(self, error: BaseException) -> Refused | None:
        for translate in self._translations:
            refusal = translate(error)
            if refusal is not None:
                return refusal
        return None


async def _cancel_tasks() -> None:
    """Cancel the tasks that a failed operation left running: the fields beside the failed one.

    Otherwise they would continue in the next request on this loop, on another thread.
    """
    while asyncio.all_tasks() - {asyncio.current_task()}:
        # Let each task start first: cancelling an unstarted task leaves its coroutine unawaited.
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _refuse_document(problems: Sequence[GraphQLError], code: str) -> Refusal:
    shown = [{**each.formatted, "extensions": {"code": code}} for each in problems]
    return Refusal(Answer(body={"errors": shown}, status=400, failed=True, refused=code))


def _operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operation = get_operation_ast(document, name)
    if operation is None:
        known = "exactly one operation" if name is None else name
        raise refuse(f"The document does not have {known}.", errors.NO_OPERATION)
    return operation


def _log_operation(
    operation: OperationDefinitionNode, measured: Measure, answer: Answer, seconds: float
) -> None:
    log.info(
        "operation",
        operation=operation.name.value if operation.name else None,
        kind=operation.operation.value,
        cost=measured.cost,
        depth=measured.depth,
        milliseconds=round(seconds * 1000, 1),
        errors=[each["extensions"]["code"] for each in answer.body.get("errors", ())],
    )
