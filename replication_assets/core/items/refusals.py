"""What each code of a refusal means, in words that show no value."""

from __future__ import annotations

from collections.abc import Mapping

REASONS: Mapping[str, str] = {
    "key-is-null": "a column that the key is made of is NULL",
    "key-is-empty": "a column that the key is made of is empty, which no key may be",
    "key-too-long": "the key is longer than DynamoDB allows (2048 bytes, a sort key 1024)",
    "condition-is-null": "a column that the declared condition compares with is NULL",
    "not-a-number": "the text is no number",
    "not-finite": "NaN and infinity are no numbers to DynamoDB",
    "number-too-precise": "more than 38 significant digits",
    "number-out-of-range": "outside the range of DynamoDB's numbers (1E-130 to 9.99E+125)",
    "not-a-boolean": "neither true nor false",
    "not-binary": "a value of another class in a binary column",
    "malformed-json": "not JSON, or JSON with NaN, infinity or half a surrogate pair",
    "duplicate-name": "a JSON object names a member twice",
    "empty-name": "a JSON object has a member without a name",
    "too-deep": "more than 32 levels of values inside each other",
    "malformed-xml": "not one well-formed XML element",
    "xml-entities": "a document type declaration, which could define entities",
    "malformed-array": "neither an array of PostgreSQL nor of JSON",
    "not-a-scalar": "an element is an array or an object",
    "null-in-set": "NULL cannot be a member of a set",
    "item-too-large": "the item is larger than 400 KB",
    "ttl-out-of-range": "a date before the year 1 or after 9999 is no expiry",
}


def explained(reason: str, attribute: str, column: str, detail: str = "") -> str:
    """A sentence for a refusal: which attribute, from which column, why; `detail` in the parser's words."""
    words = detail or REASONS.get(reason) or REASONS[reason.removeprefix("key-").removeprefix("condition-")]
    return f"attribute {attribute} from {column}: {words}"
