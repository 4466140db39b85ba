"""What values look like: personal data and secrets that can be told by their shape.

Shapes are looked for with RE2, over whole columns; where a shape has a check digit, it is computed.
A detector errs towards finding: it raises a question, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.core.masking.first_names import FIRST_NAMES

Mask: TypeAlias = npt.NDArray[np.bool_]
Detector: TypeAlias = Callable[[pa.Array], Mask]

EMAIL = "an e-mail address"
CARD = "a payment card number"
IBAN = "an IBAN"
PHONE = "a telephone number"
IP = "an IP address"
NATIONAL_ID = "a national identity number"
PERSON = "a person's name"
SECRET = "a secret"

_EMAIL = r"[\w.%+'-]+@(?:[\w-]+\.)+\pL{2,}"
_PHONE = (
    r"^\s*(?:(?:\+|00)[1-9][\d\s().\-/]{6,18}\d"
    r"|\(\d{2,5}\)[\s\-]?\d{2,5}(?:[\s\-./]?\d{2,5}){1,3}"
    r"|\d{3}[-. ]\d{3}[-. ]\d{4}"
    r"|0\d{1,4}[ \-/]\d{2,5}(?:[ \-]?\d{2,5}){1,3})\s*$"
)
_IP = (
    r"^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:/\d{1,2})?$"
    r"|^(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}$|^(?:[0-9a-fA-F]{1,4}:){1,6}:(?:[0-9a-fA-F]{1,4}:?){0,6}$"
)
# United States, United Kingdom, Italy, Spain.
_NATIONAL_ID = (
    r"^(?:\d{3}-\d{2}-\d{4}|[A-CEGHJ-PR-TW-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]"
    r"|[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]|\d{8}[A-Z]|[XYZ]\d{7}[A-Z])$"
)
# Keys and tokens by the marks that their makers give them, and hashes of passwords.
_SECRET = (
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+|\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}|\$argon2(?:id|i|d)\$"
    r"|\$[156y]\$[^$]+\$|\bgh[pousr]_\w{36}|\b[sr]k_live_\w{16,}|\bxox[abprs]-[\w-]{10,}"
    r"|\bpbkdf2_sha\d+\$|\{(?:SSHA|bcrypt)\}"
)
# Issuers by their first digits and lengths: Visa, Mastercard, American Express, Diners, Discover, JCB.
_CARD = (
    r"^(?:4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[068]\d{12}|6(?:011|5\d\d|4[4-9]\d)\d{12}"
    r"|35\d{14})$"
)
_IBAN = r"^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$"


def detect(values: pa.Array) -> Mapping[str, float]:
    """For each detector that found something, the share of the values that are not null."""
    texts = _texts(values)
    if not len(texts):
        return {}
    found = {what: float(detector(texts).mean()) for what, detector in _detectors(values.type).items()}
    return {what: share for what, share in found.items() if share}


def _detectors(kind: pa.DataType) -> Mapping[str, Detector]:
    return {CARD: _cards} if pa.types.is_integer(kind) else DETECTORS


def _texts(values: pa.Array) -> pa.Array:
    """Texts and whole numbers as texts; nothing of other types."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind):
        return values.drop_null().cast(pa.large_string())
    return pa.array([], pa.large_string())


def _matching(pattern: str) -> Detector:
    def detector(texts: pa.Array) -> Mask:
        return np.asarray(pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False), np.bool_)

    return detector


def _cards(texts: pa.Array) -> Mask:
    """Numbers of issuers whose Luhn digit is right. One in ten is by chance, so that a column where
    most are wrong holds other numbers."""
    bare = pc.replace_substring_regex(texts, r"[ \-]", "")
    shaped = _matching(_CARD)(bare)
    places = np.flatnonzero(shaped)
    right = luhn(bare.take(pa.array(places)))
    if right.sum() * 2 < len(places):
        return np.zeros(len(texts), np.bool_)
    shaped[places] = right
    return shaped


def luhn(numbers: pa.Array) -> Mask:
    """Whether the last digit of texts of at most 19 digits is the Luhn digit (ISO/IEC 7812-1)."""
    digits = _characters(pc.utf8_lpad(numbers, 20, "0"), 20) - ord("0")
    doubled = digits[:, 0::2] * 2
    doubled -= 9 * (doubled > 9)
    return np.asarray((doubled.sum(axis=1) + digits[:, 1::2].sum(axis=1)) % 10 == 0, np.bool_)


def _ibans(texts: pa.Array) -> Mask:
    bare = pc.utf8_upper(pc.replace_substring_regex(texts, r"\s", ""))
    shaped = _matching(_IBAN)(bare)
    places = np.flatnonzero(shaped)
    shaped[places] = iban(bare.take(pa.array(places)))
    return shaped


def iban(numbers: pa.Array) -> Mask:
    """Whether the check digits of upper-case texts of 15 to 34 letters and digits are right (ISO 13616:
    country and check digits moved to the end, letters as 10 to 35, the whole modulo 97 is 1)."""
    moved = pc.binary_join_element_wise(
        pc.utf8_slice_codeunits(numbers, 4),
        pc.utf8_slice_codeunits(numbers, 0, 4),
        pa.scalar("", numbers.type),
    )
    codes = _characters(pc.utf8_lpad(moved, 34, "0"), 34)
    values = np.where(codes >= ord("A"), codes - ord("A") + 10, codes - ord("0"))
    rest = np.zeros(len(numbers), np.int64)
    for place in range(34):
        value = values[:, place]
        rest = (rest * np.where(value >= 10, 100, 10) + value) % 97
    return np.asarray(rest == 1, np.bool_)


def _characters(texts: pa.Array, width: int) -> npt.NDArray[np.int64]:
    """ASCII codes of texts that are all so wide."""
    joined = "".join(texts.to_pylist()).encode("ascii")
    return np.frombuffer(joined, np.uint8).reshape(-1, width).astype(np.int64)


def _persons(texts: pa.Array) -> Mask:
    """One to four words of letters whose first is a common first name."""
    shaped = _matching(r"^\pL[\pL'.\-]*(?: \pL[\pL'.\-]*){0,3}$")(texts)
    first = pc.utf8_lower(pc.replace_substring_regex(texts, r" .*$", ""))
    known = pc.is_in(first, value_set=pa.array(sorted(FIRST_NAMES), pa.large_string()))
    return np.asarray(shaped & known.to_numpy(zero_copy_only=False), np.bool_)


DETECTORS: Mapping[str, Detector] = {
    EMAIL: _matching(_EMAIL),
    CARD: _cards,
    IBAN: _ibans,
    PHONE: _matching(_PHONE),
    IP: _matching(_IP),
    NATIONAL_ID: _matching(_NATIONAL_ID),
    PERSON: _persons,
    SECRET: _matching(_SECRET),
}
