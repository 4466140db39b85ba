"""How a user declares what becomes of a column: one frozen dataclass for each rule.

A rule says nothing of the column it stands at; `policy_problems` tells what does not fit. What a
rule does is in the module of its family. Where a rule has `by`, "value" gives equal inputs equal
outputs (and so tells how often a value occurs), "row" draws from the row's key: stable from one
refresh to the next, and without the input's frequencies. Rules that ignore their input never
read the column.

A `namespace` is an identity domain: rules of the same family and namespace map equal values to
equal values in every table and database of an environment's mask scope.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, TypeAlias

from replication_assets.core.declared import Declared

By: TypeAlias = Literal["value", "row"]
Normalise: TypeAlias = Literal["nfc", "trim", "casefold"]


@dataclass(frozen=True, slots=True)
class Keep:
    """The value as it is. Allowed only for a class that the environment allows."""


@dataclass(frozen=True, slots=True)
class Null:
    """NULL. The column is never read."""


@dataclass(frozen=True, slots=True)
class Constant:
    """The same `value` in every row, NULL included. The column is never read."""

    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class ColumnDefault:
    """The column's own default in the copy. The column is never read."""


@dataclass(frozen=True, slots=True)
class Token:
    """A keyed token of `length` letters and digits after `prefix`: 5 bits each, 16 are 80 bits."""

    namespace: str
    _: KW_ONLY
    length: int = 16
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Email:
    """A token at a reserved `domain` (RFC 2606), which no mail server accepts."""

    namespace: str = "email"
    _: KW_ONLY
    domain: str = "masked.invalid"


@dataclass(frozen=True, slots=True)
class Phone:
    """A telephone number in `+999`, a code that no country has, of `digits` digits after it."""

    namespace: str = "phone"
    _: KW_ONLY
    digits: int = 10


@dataclass(frozen=True, slots=True)
class PersonName:
    """A name, or a `part` of one, out of a list: never the input's own. Drawn `by` row or value."""

    part: Literal["full", "first", "last"] = "full"
    _: KW_ONLY
    by: By = "row"
    namespace: str = "person"


@dataclass(frozen=True, slots=True)
class Company:
    """A made-up company name out of a list: never the input's own. Drawn `by` row or value."""

    _: KW_ONLY
    by: By = "row"
    namespace: str = "company"


@dataclass(frozen=True, slots=True)
class Address:
    """A `part` of a made-up address, drawn `by` row or value. The columns of a row in one `group` are
    of one address; two addresses in a row are two groups."""

    part: Literal["street", "city", "region", "postcode", "country", "line"]
    _: KW_ONLY
    group: str = "address"
    by: By = "row"


@dataclass(frozen=True, slots=True)
class IntegerId:
    """A keyed bijection of the namespace's integers onto themselves: unique stays unique."""

    namespace: str


@dataclass(frozen=True, slots=True)
class DigitsId:
    """A keyed bijection of texts with the same number of digits: each digit becomes another
    digit, every other character but letters stays. Letters are refused. Needs 6 digits at least."""

    namespace: str


@dataclass(frozen=True, slots=True)
class CardNumber:
    """As `DigitsId` for payment card numbers: 12 to 19 digits whose last is the Luhn digit, before
    and after. A number without one is refused."""

    namespace: str = "card"


@dataclass(frozen=True, slots=True)
class UuidId:
    """A keyed bijection of UUIDs (RFC 9562): version and variant stay, the other 122 bits are permuted.
    A mark in the result would overwrite bits in which two of them may differ."""

    namespace: str


@dataclass(frozen=True, slots=True)
class DateShift:
    """A date or timestamp moved by up to `days`, never by 0: by the same number for all dates of
    one `entity` (a column, by default the row), so that intervals within it hold."""

    days: int = 180
    _: KW_ONLY
    entity: str | None = None
    namespace: str = "date_shift"


@dataclass(frozen=True, slots=True)
class Noise:
    """A number times a factor that differs from 1 by `ratio` at most, to the column's own scale. Drawn
    `by` row or value."""

    ratio: float = 0.1
    _: KW_ONLY
    by: By = "row"
    namespace: str = "noise"


@dataclass(frozen=True, slots=True)
class RandomRange:
    """A number from `low` to `high`, both included, or a date or timestamp (ISO 8601 texts).
    Drawn `by` row or value."""

    low: int | float | str
    high: int | float | str
    _: KW_ONLY
    by: By = "row"
    namespace: str = "range"


@dataclass(frozen=True, slots=True)
class Partial:
    """`first` and `last` characters kept, every other one replaced by `fill`. A text that has no
    more than twice as many characters as are kept is replaced whole."""

    _: KW_ONLY
    first: int = 0
    last: int = 4
    fill: str = "*"


@dataclass(frozen=True, slots=True)
class RegexReplace:
    """Every match of `pattern` (RE2) becomes `replacement`; a text without a match becomes
    `otherwise`, never itself."""

    pattern: str
    replacement: str
    _: KW_ONLY
    otherwise: str = "masked"


@dataclass(frozen=True, slots=True)
class Choice(Declared):
    """One of some `values`, evenly or with `weights`. Drawn `by` row or value."""

    values: Sequence[str | int | float]
    _: KW_ONLY
    weights: Sequence[float] = ()
    by: By = "row"
    namespace: str = "choice"


@dataclass(frozen=True, slots=True)
class Generalise:
    """Fewer distinct values: a number down to a multiple of `width`, a date or timestamp down to
    the first of its `unit`, a text to its first `prefix` characters. Exactly one of them."""

    _: KW_ONLY
    width: int | None = None
    unit: Literal["day", "month", "year", "decade"] | None = None
    prefix: int | None = None


@dataclass(frozen=True, slots=True)
class FreeText:
    """Words of no meaning, about as long as the input and at most `longest` characters. Drawn `by`
    row or value."""

    _: KW_ONLY
    longest: int = 200
    by: By = "row"
    namespace: str = "free_text"


@dataclass(frozen=True, slots=True)
class PythonRule:
    """A function `package.module:function(values, words)`: an Arrow array and, for each value, two
    keyed 64-bit words (NumPy, n x 2); it gives an array of the same length and type. What it leaves
    equal to its input is refused. `output` is a pattern (RE2) that every result matches in full."""

    function: str
    output: str
    _: KW_ONLY
    namespace: str = "python"


@dataclass(frozen=True, slots=True)
class DigitsMask:
    """AWS DMS `data-masking-digits-mask`: every digit becomes `character`. DMS's own result."""

    character: str = "*"


@dataclass(frozen=True, slots=True)
class DigitsRandomize:
    """AWS DMS `data-masking-digits-randomize`: every digit becomes another one, keyed here instead
    of random, so that a refresh gives the same again."""

    namespace: str = "digits"


@dataclass(frozen=True, slots=True)
class HashMask:
    """AWS DMS `data-masking-hash-mask`: SHA-256 in hex. DMS's own result is unkeyed, so whoever can
    list the inputs can undo it; it must be asked for (`unkeyed`). Otherwise the same length of
    hex digits, keyed."""

    namespace: str = "hash"
    _: KW_ONLY
    unkeyed: bool = False


ValueRule: TypeAlias = (
    Null
    | Constant
    | ColumnDefault
    | Token
    | Email
    | Phone
    | PersonName
    | Company
    | Address
    | IntegerId
    | DigitsId
    | CardNumber
    | UuidId
    | DateShift
    | Noise
    | RandomRange
    | Partial
    | RegexReplace
    | Choice
    | Generalise
    | FreeText
    | PythonRule
    | DigitsMask
    | DigitsRandomize
    | HashMask
    | Keep
)


@dataclass(frozen=True, slots=True)
class JsonPaths:
    """Members of a JSON document by their `paths`: `$.plan`, `$.emails[*]`, `$.address.city`. A value at a
    path that is not named is replaced by null; members and elements that are not named are dropped with
    what they hold. Rules of paths take and give texts, numbers and booleans; `by="row"` ones draw
    from row and path, an `Address` from the member that its parts are in."""

    paths: Mapping[str, ValueRule] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class XmlPaths:
    """Elements and attributes of an XML document by their `paths`: `/order/line`,
    `/order/line/@widget`. Texts and attribute values at paths that are not named are emptied; comments
    and processing instructions are dropped, and a document type declaration is refused."""

    paths: Mapping[str, ValueRule] = field(default_factory=dict, hash=False)


Rule: TypeAlias = ValueRule | JsonPaths | XmlPaths
