"""Types of the sources by their names: what DMS makes of them."""

import pytest

from replication_assets.dms.source_tables import dms_type


@pytest.mark.parametrize(
    ("native", "kind"),
    [
        ("NUMBER(10)", "numeric(10, 0)"),
        ("VARCHAR2(30 CHAR)", "string(30)"),
        ("varchar(max)", "nclob"),
        ("varbinary(max)", "blob"),
        ("timestamp(6) with time zone", "datetime(6)"),
        ("int unsigned", "uint4"),
        ("bigint(20) unsigned", "uint8"),
        ("tinyint(1)", "int1"),
        ("enum('a','b')", "wstring"),
        ("set('a')", "wstring"),
        ("text[]", "nclob"),
        ("XMLTYPE", "clob"),
        ("long raw", "blob"),
        ("datetimeoffset(7)", "wstring"),
        ("interval day to second", "string"),
        ("character varying(50)", "wstring(50)"),
        ("double precision", "real8"),
        ("decimal(38,4)", "numeric(38, 4)"),
        ("string(20)", "string(20)"),
    ],
)
def test_a_type_of_a_source_is_one_of_dms(native: str, kind: str) -> None:
    assert str(dms_type(native)) == kind


def test_a_type_that_is_not_known_is_none() -> None:
    assert dms_type("widget(3)") is None
    assert dms_type("") is None
