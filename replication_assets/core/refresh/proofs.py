"""What was proven of a copy: one proof for each promise, with figures and never a value.

The same results are asset checks, metadata of the verify step and lines of the audit, so they are read
back exactly as they were written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from replication_assets.errors import VerificationFailed


@dataclass(frozen=True, slots=True)
class Proof:
    """One promise: its `name` in a word or two, and `what` was found, in a sentence. `figures` are
    counts and shares (`rows`, `values checked`)."""

    name: str
    passed: bool
    what: str
    figures: Mapping[str, int | float] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.name}: {'holds' if self.passed else 'FAILED'}. {self.what}"


@dataclass(frozen=True, slots=True)
class Verification:
    """All proofs of one copy. One without any proof has not passed."""

    proofs: tuple[Proof, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "proofs", tuple(self.proofs))

    @property
    def passed(self) -> bool:
        return bool(self.proofs) and all(proof.passed for proof in self.proofs)

    @property
    def failed(self) -> tuple[Proof, ...]:
        return tuple(proof for proof in self.proofs if not proof.passed)

    def __add__(self, other: Verification) -> Verification:
        return Verification((*self.proofs, *other.proofs))

    def text(self) -> str:
        """For people: a line for each proof."""
        return "\n".join(str(proof) for proof in self.proofs) or "nothing was proven"

    def require(self, where: str) -> None:
        """Raises VerificationFailed with every proof that failed."""
        if self.passed:
            return
        told = [f"{proof.name}: {proof.what.rstrip('.')}" for proof in self.failed]
        raise VerificationFailed(
            "; ".join(told) or "nothing was proven",
            where=where,
            fix="readers still have the copy of before; find out what wrote beside the guard or which rule "
            "lets values through, then start the refresh again",
        )

    def to_json(self) -> str:
        return json.dumps([asdict(proof) for proof in self.proofs], sort_keys=True, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Verification:
        """The inverse of `to_json`. Raises ValueError, KeyError or TypeError for anything else."""
        found = json.loads(text)
        if not isinstance(found, list):
            raise ValueError("not the JSON of a verification")
        return cls(tuple(_proof(each) for each in found))


def _proof(found: Mapping[str, object]) -> Proof:
    name, passed, what, figures = (found[key] for key in ("name", "passed", "what", "figures"))
    if not (isinstance(name, str) and isinstance(passed, bool) and isinstance(what, str)):
        raise TypeError("not the JSON of a proof")
    if not isinstance(figures, dict) or not all(_is_number(value) for value in figures.values()):
        raise TypeError("not the JSON of a proof's figures")
    return Proof(name, passed, what, figures)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def joined(verifications: Sequence[Verification]) -> Verification:
    """The proofs of several verifications as one."""
    return Verification(tuple(proof for each in verifications for proof in each.proofs))
