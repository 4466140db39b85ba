"""Owns what an answer of DynamoDB means: done, throttled, failed for now, refused, or hopeless.

Codes are those of the API reference ("Error Handling with DynamoDB"). A message of DynamoDB may
quote a value of the item ("... cannot be converted to a numeric value: ..."), so none is handed
on: `reason` says in own words what is known of it, and nothing where it is not.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

import orjson

from replication_assets.errors import TargetError


class Verdict(Enum):
    DONE = "done"
    THROTTLED = "throttled"
    """Too many requests: wait, and send fewer."""
    FAILED = "failed"
    """The server failed, or is busy with this very item: wait."""
    EXPIRED = "expired"
    """The credentials were renewed meanwhile."""
    CONDITION_FAILED = "condition failed"
    REFUSED = "refused"
    """Something in the request is not what DynamoDB stores."""


class Reply(NamedTuple):
    """An answer. `content` is the parsed body; `code` the error's name, empty when done."""

    verdict: Verdict
    content: dict[str, Any]
    code: str = ""
    message: str = ""
    """DynamoDB's own words, which may quote a value: never to be shown, see `reason`."""

    @property
    def reason(self) -> str:
        return reason(self.code, self.message)


_THROTTLED = {
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "Throttling",
    "RequestLimitExceeded",
    "TooManyRequestsException",
}
_FAILED = {
    "InternalServerError",
    "InternalFailure",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "TransactionConflictException",
    "TransactionInProgressException",
    "ReplicatedWriteConflictException",
}
_EXPIRED = {"ExpiredTokenException", "ExpiredToken"}
_REFUSED = {
    "ValidationException",
    "SerializationException",
    "ItemCollectionSizeLimitExceededException",
    "RequestEntityTooLarge",
}
# Where a message of a refused request begins so, the request is wrong, and no item is.
_OUR_MISTAKE = (
    "Invalid ConditionExpression",
    "Invalid ProjectionExpression",
    "Invalid FilterExpression",
    "Invalid KeyConditionExpression",
    "ExpressionAttribute",
    "Value provided in ExpressionAttribute",
)
_FIXES = {
    "ResourceNotFoundException": "the table does not exist in this region and account, or is not yet active",
    "AccessDeniedException": "grant the role the action on this table",
    "UnrecognizedClientException": "the access key is unknown: check credentials and region",
    "InvalidSignatureException": "check the secret key, the region, and this machine's clock",
    "MissingAuthenticationTokenException": "check the credentials",
    "IncompleteSignatureException": "check the credentials",
}
# Parts of messages, lower case, and what they mean. The first that fits counts.
_REASONS = (
    ("item size", "the item is larger than DynamoDB's 400 KB"),
    ("cannot be converted", "a number is none that DynamoDB stores"),
    ("significant digits", "a number has more than 38 significant digits"),
    ("precision up to 38", "a number has more than 38 significant digits"),
    ("number overflow", "a number is greater than DynamoDB stores"),
    ("number underflow", "a number is nearer to zero than DynamoDB stores"),
    ("contains duplicates", "a set holds a value twice"),
    ("set  may not be empty", "a set is empty"),
    ("set may not be empty", "a set is empty"),
    ("empty string value", "a key attribute is an empty string"),
    ("empty binary value", "a key attribute is empty"),
    ("index key", "an attribute has another type than the key of a secondary index"),
    ("type mismatch for key", "a key attribute has another type than the table's key"),
    ("does not match the schema", "the key attributes are not those of the table"),
    ("missing the key", "a key attribute is missing"),
    ("missing a key", "a key attribute is missing"),
    ("keys was not given", "a key attribute is missing"),
    ("must be under 2048 bytes", "the partition key exceeds 2048 bytes, or the sort key 1024"),
    ("size of hashkey", "the partition key is longer than 2048 bytes"),
    ("size of all range keys", "the sort key is longer than 1024 bytes"),
    ("nesting levels", "a document is nested deeper than 32 levels"),
    ("supplied attributevalue", "an attribute has no type of DynamoDB, or more than one"),
)
_UNKNOWN = "DynamoDB refused it; its message is left out, as it may quote a value"


def reason(code: str, message: str) -> str:
    if code == "SerializationException":
        return "the item is not JSON of DynamoDB's form"
    if code == "RequestEntityTooLarge":
        return "the item is larger than a request may be"
    if code == "ItemCollectionSizeLimitExceededException":
        return "items of one partition key exceed 10 GB in a table with local secondary indexes"
    lower = message.lower()
    return next((meaning for part, meaning in _REASONS if part in lower), _UNKNOWN)


def understand(status: int, body: bytes, *, operation: str, where: str) -> Reply:
    """What a response says. Raises TargetError where neither waiting nor leaving an item out helps."""
    try:
        content = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        content = None
    if status == 200:
        if not isinstance(content, dict):
            return Reply(Verdict.FAILED, {}, "IncompleteResponse")
        return Reply(Verdict.DONE, content)
    said = content if isinstance(content, dict) else {}
    code = str(said.get("__type", "")).rsplit("#", 1)[-1] or f"HTTP {status}"
    message = str(said.get("message") or said.get("Message") or "")
    verdict = _verdict(status, code)
    if verdict is Verdict.REFUSED and message.startswith(_OUR_MISTAKE):
        verdict = None
    if verdict is None:
        raise TargetError(f"{operation} was refused: {code}", where=where, fix=advice(code) or _UNKNOWN)
    return Reply(verdict, said, code, message)


def is_passing(status: int, code: str) -> bool:
    """Whether an error is one that goes by itself."""
    return _verdict(status, code) in (Verdict.THROTTLED, Verdict.FAILED, Verdict.EXPIRED)


def advice(code: str) -> str:
    """What helps against an error that concerns the whole request; empty where none is known."""
    return _FIXES.get(code, "")


def _verdict(status: int, code: str) -> Verdict | None:
    if code in _THROTTLED or status == 429:
        return Verdict.THROTTLED
    if code in _EXPIRED:
        return Verdict.EXPIRED
    if code == "ConditionalCheckFailedException":
        return Verdict.CONDITION_FAILED
    if code in _REFUSED or status == 413:
        return Verdict.REFUSED
    return Verdict.FAILED if code in _FAILED or status >= 500 else None
