"""What the keyed functions of the masks cost: millions of values a second of processor time, one thread.

python benchmarks/masking_primitives.py [rows]
"""

from __future__ import annotations

import hmac
import sys
import time
import uuid
from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa

from replication_assets.core.masking.families import dms, identifiers, tokens
from replication_assets.core.masking.keys import KeyRing
from replication_assets.core.masking.masker import MaskedColumn, Rows, RuleContext
from replication_assets.core.masking.permutation import DigitsPermutation, Permutation
from replication_assets.core.masking.policy import MaskingPolicy, Namespace
from replication_assets.core.masking.prf import Prf
from replication_assets.core.masking.rules import (
    CardNumber,
    DigitsId,
    DigitsMask,
    DigitsRandomize,
    Email,
    HashMask,
    IntegerId,
    Phone,
    Rule,
    Token,
    UuidId,
)
from replication_assets.core.structure import ColumnStructure

KEY = bytes(range(16))
KEYS = KeyRing(bytes(range(32)), environment="benchmark", scope="benchmark")
POLICY = MaskingPolicy("benchmark", namespaces=[Namespace("id", low=1, high=2**31 - 1)])
BUILDERS = {**identifiers.BUILDERS, **tokens.BUILDERS, **dms.BUILDERS}


def measured(what: str, count: int, work: Callable[[], object], rounds: int = 3) -> None:
    """Prints the best of some rounds, after one that is not counted."""
    work()
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    sys.stdout.write(f"{what:<44}{count / 1e6 / min(seconds):8.2f} M/s\n")


def of_rule(rule: Rule, values: pa.Array, spelled: str = "text") -> None:
    column = MaskedColumn(ColumnStructure("it", spelled), values.type)
    masker = BUILDERS[type(rule)](rule, column, RuleContext(KEYS, POLICY, ("it",), {"it": column}))
    batch = pa.RecordBatch.from_arrays([values], ["it"])
    measured(repr(rule), len(values), lambda: masker.mask(Rows(batch, ("it",))))


def main(rows: int) -> None:
    emails = pa.array([f"first.l{number:07d}@example.com" for number in range(rows)])
    few = emails.to_pylist()[: rows // 20]
    measured("HMAC-SHA256 per value, in Python", len(few), lambda: [_hmac(text) for text in few])
    measured("AES-CMAC of 27-byte e-mails", rows, lambda: Prf(KEY).words(emails))
    ranks = np.arange(rows, dtype=np.uint64)
    for bits in (31, 63):
        measured(f"FF1, radix 2, {bits} bits", rows, partial(Permutation(KEY, 2**bits).permute, ranks))
    random = np.random.default_rng(1)
    for count in (9, 16):
        digits = random.integers(0, 10, (rows, count)).astype(np.uint8)
        measured(f"FF1, radix 10, {count} digits", rows, partial(DigitsPermutation(KEY).permute, digits))
    for rule in (Email(), Token("t"), Phone(), HashMask(), HashMask(unkeyed=True)):
        of_rule(rule, emails)
    for rule in (DigitsMask(), DigitsRandomize()):
        of_rule(rule, emails)
    of_rule(IntegerId("id"), pa.array(range(1, rows + 1), pa.int32()), "integer")
    of_rule(DigitsId("n"), pa.array([f"{number:09d}" for number in range(rows)]))
    cards = [f"4{number:014d}" for number in range(rows)]
    of_rule(CardNumber(), pa.array([card + _luhn_digit(card) for card in cards]))
    of_rule(UuidId("u"), pa.array([str(uuid.UUID(bytes=random.bytes(16))) for _ in range(rows)]), "uuid")


def _hmac(text: str) -> bytes:
    return hmac.digest(KEY, text.encode(), "sha256")


def _luhn_digit(digits: str) -> str:
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[::-2])
    return str(-(doubled + sum(int(digit) for digit in digits[-2::-2])) % 10)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
