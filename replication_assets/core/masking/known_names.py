"""Names of columns that are known to hold something, and the rules for them.

The first hint that fits counts: secrets come first, then people, then what is harmless.
"""

from __future__ import annotations

from replication_assets.core.masking import detectors
from replication_assets.core.masking.column_kinds import Kind, kind_of
from replication_assets.core.masking.name_hints import INTERNAL, Hint, always, free_text, gone, if_room, token
from replication_assets.core.masking.rules import (
    Address,
    CardNumber,
    Company,
    DateShift,
    DigitsId,
    Email,
    Keep,
    Noise,
    PersonName,
    Phone,
    RandomRange,
    Token,
)
from replication_assets.core.structure import ColumnStructure

_NUMBERS: tuple[Kind, ...] = ("integer", "decimal", "float")
_ANY_TEXT: tuple[Kind, ...] = ("text", "enum")
_SECRET = (
    "pass(word|wd|phrase|code)?|pwd|secrets?|credentials?|token|api_?key|private_key|access_key|otp|salt|hash"
    "|totp|mfa|session|cookie|authorization|auth_(code|key|data)|pin|pin_code|cvv|cvc|signature"
)

HINTS: tuple[Hint, ...] = (
    Hint(
        "a secret", _SECRET, "secret.credential", gone, ("text", "binary", "json", "integer", "uuid", "array")
    ),
    Hint("e-mail", "e_?mail(_addr(ess)?)?|mail", "pii.email", if_room(31, Email(), "email")),
    Hint(
        "telephone number",
        "phone|telephone|tel|mobile|cell|fax|msisdn|whats_?app",
        "pii.phone",
        if_room(14, Phone(), "phone"),
    ),
    Hint(
        "card number",
        "(credit_|debit_)?card_(number|num|no)|cc_(number|num)|pan",
        "pii.card",
        always(CardNumber()),
    ),
    Hint("IBAN", "iban|bic|swift", "pii.bank", token("iban")),
    Hint(
        "bank account",
        "(bank_)?account_(number|num|no)|routing_number|sort_code",
        "pii.bank",
        token("bank_account"),
    ),
    Hint(
        "national identity number",
        ("ssn|social_security(_number)?|nino|sin|tax_id|tin|national_id|bsn|cpf|pesel|personnummer"),
        "pii.national_id",
        if_room(6, DigitsId("national_id"), "national_id"),
    ),
    Hint(
        "passport or licence",
        "passport|licen[cs]e|driving|visa|vat|vat_id|vat_number",
        "pii.document",
        token("document"),
    ),
    Hint(
        "IP address",
        "ip|ip_addr(ess)?|remote_addr|client_ip|user_agent|mac_addr(ess)?|device_id",
        "pii.network",
        token("network"),
    ),
    Hint(
        "first name",
        "(first|given|fore|middle|christian)_?names?|fname",
        "pii.name",
        always(PersonName("first")),
    ),
    Hint("last name", "(last|sur|family|maiden)_?names?|lname", "pii.name", always(PersonName("last"))),
    Hint(
        "company",
        "company|organi[sz]ation|employer|company_name|legal_name|business_name",
        "pii.company",
        always(Company()),
    ),
    Hint(
        "street",
        "street|address_?(line)?|addr|line_one|line_two|house",
        "pii.address",
        always(Address("street")),
    ),
    Hint("city", "city|town|suburb|village", "pii.address", always(Address("city"))),
    Hint("postcode", "zip|zip_?code|post_?code|postal(_code)?", "pii.address", always(Address("postcode"))),
    Hint(
        "region", "state_name|province|county|region|state_province", "pii.address", always(Address("region"))
    ),
    Hint("user name", "user_?name|login|nick(name)?|handle|screen_name", "pii.username", token("username")),
    Hint(
        "address of a web page",
        "urls?|uri|website|homepage|link|avatar|photo|picture|image",
        "pii.url",
        if_room(39, Token("url", prefix="https://masked.invalid/"), "url"),
    ),
    Hint(
        "harmless code",
        (
            "(status|state|type|kind|category|currency|locale|language|lang|country_code|"
            "time_?zone|tz|unit|colou?r|size|version|sku)$"
        ),
        INTERNAL,
        always(Keep()),
        _ANY_TEXT,
    ),
    Hint("country", "country|nation|nationality", "pii.address", always(Address("country"))),
    Hint(
        "name of a thing",
        "(product|item|category|plan|event|table|file|role|group|tag|brand|model)_name",
        INTERNAL,
        token("name"),
    ),
    Hint(
        "name",
        (
            "(full_?|display_|real_|contact_|customer_|user_|owner_|author_)?names?|"
            "contact|author|signee|holder"
        ),
        "pii.name",
        always(PersonName()),
    ),
    Hint(
        "free text",
        (
            "notes?|comments?|description|message|msg|body|bio|about|remarks?|text|content|"
            "subject|feedback|reason|memo|summary|details?"
        ),
        "pii.freetext",
        free_text,
    ),
    Hint(
        "gender or belief",
        ("gender|sex|religion|ethnicity|race|orientation|marital(_status)?|diagnosis|blood"),
        "pii.special",
        gone,
        ("text", "enum", "boolean", "integer"),
    ),
    Hint(
        "date of birth",
        "birth|birth_?(date|day)|dob|born|date_of_birth|death|died",
        "pii.dob",
        always(DateShift()),
        ("date", "timestamp"),
    ),
    Hint("latitude", "lat|latitude", "pii.location", always(RandomRange(-90, 90)), _NUMBERS),
    Hint("longitude", "lon|lng|long|longitude", "pii.location", always(RandomRange(-180, 180)), _NUMBERS),
    Hint(
        "income",
        "salary|income|wage|wages|balance|credit_limit|net_worth|debt|bonus|pay",
        "pii.financial",
        always(Noise()),
        _NUMBERS,
    ),
)


def hint_of(column: ColumnStructure) -> Hint | None:
    """The first hint that the column's name and kind fit."""
    return next((hint for hint in HINTS if hint.fits(column)), None)


_LOOKING_LIKE = {
    detectors.EMAIL: "e-mail",
    detectors.CARD: "card number",
    detectors.IBAN: "IBAN",
    detectors.PHONE: "telephone number",
    detectors.IP: "IP address",
    detectors.NATIONAL_ID: "national identity number",
    detectors.PERSON: "name",
    detectors.SECRET: "a secret",
}


def hint_looking_like(what: str, column: ColumnStructure) -> Hint | None:
    """The hint for a column whose values look like that, if it is one for columns of its kind."""
    found = next((hint for hint in HINTS if hint.what == _LOOKING_LIKE.get(what)), None)
    return found if found is not None and kind_of(column) in found.kinds else None
