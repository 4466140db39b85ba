"""The lists that plausible values come from: names, companies, addresses, words.

They are part of the package and pinned by digest: with another list the same key would give other
people, and a changed file would go unnoticed. Composed once, from the word lists of Faker (MIT
licence): its first and last names, regions and street words of several countries. Companies, cities
and streets are put together from them, postcodes are made up in each country's form, so nobody
lives at an address. Everything can be written in ISO 8859-1: a copy may have a narrower character
set than its source.

`addresses.tsv` is ordered so that neighbouring rows differ in every part: whoever must not get
their own city takes the next row.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from replication_assets.errors import GuardError, PolicyError

PoolName: TypeAlias = Literal["first_names", "last_names", "companies", "words"]
AddressPart: TypeAlias = Literal["street", "city", "region", "postcode", "country", "code", "line"]

# Fewer entries than these and half a town would bear one name.
LEAST_ENTRIES = 50

_DIGESTS = {
    "first_names.txt": "b64eff1db9b1235458d7f0dd4c90d296",
    "last_names.txt": "a25f4554e3dc23e2cdda1cf3303cc4b9",
    "companies.txt": "5bea6d71d91b51189bc3d13d62cc2b53",
    "words.txt": "c4ecaa637eb9ffa89483731571c12237",
    "addresses.tsv": "92b096ffaf5aa68a0e5990388685ec34",
}


@dataclass(frozen=True, slots=True)
class Pool:
    """Entries in their order. `folded` are the same in lower case, as inputs are compared with them."""

    entries: pa.Array
    folded: pa.Array

    @classmethod
    def of(cls, entries: pa.Array) -> Pool:
        return cls(entries, pc.utf8_lower(entries))

    def __len__(self) -> int:
        return len(self.entries)

    def holds(self, values: pa.Array) -> pa.Array:
        """For each value whether it is an entry; null for null."""
        found = pc.is_in(values, value_set=self.entries)
        return pc.if_else(pc.is_valid(values), found, pa.scalar(None, pa.bool_()))

    def fitting(self, longest: int | None) -> Pool:
        """The entries of at most so many characters.

        Raises:
            PolicyError: there are too few of them.
        """
        if longest is None:
            return self
        lengths = pc.utf8_length(self.entries)
        if pc.max(lengths).as_py() <= longest:
            return self
        short = self.entries.filter(pc.less_equal(lengths, longest))
        require_enough(len(short), longest)
        return Pool.of(short)


def require_enough(entries: int, longest: int) -> None:
    """Raises PolicyError where too few entries fit a column."""
    if entries < LEAST_ENTRIES:
        problem = f"only {entries} made-up values have at most {longest} characters, as the column demands"
        raise PolicyError([f"{problem}. Fix: Token, Partial, Constant or Null"])


@cache
def pool(name: PoolName) -> Pool:
    """A list by name.

    Raises:
        GuardError: its file is not the one that the package came with.
    """
    return Pool.of(pa.array(_lines(f"{name}.txt"), pa.string()))


@cache
def addresses() -> pa.Table:
    """Made-up addresses, one column for each `AddressPart`.

    Raises:
        GuardError: the file is not the one that the package came with.
    """
    header, *rows = (line.split("\t") for line in _lines("addresses.tsv"))
    table = pa.table({name: [row[at] for row in rows] for at, name in enumerate(header)})
    street, city, postcode, country = (table.column(n) for n in ("street", "city", "postcode", "country"))
    town = pc.binary_join_element_wise(postcode, city, " ")
    return table.append_column("line", pc.binary_join_element_wise(street, town, country, ", "))


def _lines(name: str) -> list[str]:
    content = files(__name__).joinpath(name).read_bytes()
    if hashlib.blake2b(content, digest_size=16).hexdigest() != _DIGESTS[name]:
        raise GuardError(
            f"the list {name} is not the one that the package came with",
            fix="install the package again: with another list, masks would give other values",
        )
    return content.decode().splitlines()


Indices: TypeAlias = npt.NDArray[np.int64]


def drawn(words: npt.NDArray[np.uint64], entries: int) -> Indices:
    """An index below `entries` (fewer than 2^32) for each keyed word: its upper half as a fraction of
    them. The bias is below entries / 2^32."""
    return (((words >> np.uint64(32)) * np.uint64(entries)) >> np.uint64(32)).astype(np.int64)
