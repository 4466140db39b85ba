"""What the catalog of a target says: whose tables are in it, and every text around the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replication_assets.targets.sql.postgres.connection import Work
from replication_assets.targets.sql.records import PLACE, Made

_STRANGERS = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%%'
  AND n.nspname NOT IN ('information_schema', %(records)s)
  AND NOT EXISTS (SELECT 1 FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""


def strangers(work: Work, ours: Sequence[Made]) -> tuple[str, ...]:
    """Tables and views that no refresh made, but for those of extensions."""
    made = {name for each in ours for name in each.tables}
    rows = work.rows(_STRANGERS, {"records": PLACE})
    return tuple(f"{schema}.{name}" for schema, name in rows if (schema, name) not in made)


# The first line gives the type of all of them: as `name`, each would end after 63 bytes.
_TEXTS = """
WITH copied AS (SELECT oid, nspname FROM pg_namespace WHERE nspname = ANY(%(schemas)s)),
relations AS (
  SELECT c.oid, c.relname, c.relkind FROM pg_class c JOIN copied ON c.relnamespace = copied.oid)
SELECT nspname::text FROM copied
UNION ALL SELECT relname FROM relations
UNION ALL SELECT a.attname FROM pg_attribute a JOIN relations r ON a.attrelid = r.oid WHERE a.attnum > 0
UNION ALL SELECT array_to_string(coalesce(a.attoptions, '{}') || coalesce(a.attfdwoptions, '{}'), ' ')
  FROM pg_attribute a JOIN relations r ON a.attrelid = r.oid WHERE a.attnum > 0
UNION ALL SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d JOIN relations r ON d.adrelid = r.oid
UNION ALL SELECT k.conname || ' ' || pg_get_constraintdef(k.oid)
  FROM pg_constraint k JOIN relations r ON k.conrelid = r.oid
UNION ALL SELECT pg_get_indexdef(r.oid) FROM relations r WHERE r.relkind IN ('i', 'I')
UNION ALL SELECT pg_get_viewdef(r.oid) FROM relations r WHERE r.relkind IN ('v', 'm')
UNION ALL SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN relations r ON t.tgrelid = r.oid
  WHERE NOT t.tgisinternal
UNION ALL SELECT pg_get_ruledef(w.oid) FROM pg_rewrite w JOIN relations r ON w.ev_class = r.oid
UNION ALL SELECT t.typname FROM pg_type t JOIN copied ON t.typnamespace = copied.oid
UNION ALL SELECT e.enumlabel FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
  JOIN copied ON t.typnamespace = copied.oid
UNION ALL SELECT p.proname || ' ' || coalesce(p.prosrc, '') || ' ' || pg_get_function_arguments(p.oid)
  FROM pg_proc p JOIN copied ON p.pronamespace = copied.oid
UNION ALL SELECT t.description FROM pg_description t WHERE
  (t.classoid = 'pg_class'::regclass AND t.objoid IN (SELECT oid FROM relations))
  OR (t.classoid = 'pg_namespace'::regclass AND t.objoid IN (SELECT oid FROM copied))
  OR (t.classoid = 'pg_type'::regclass AND t.objoid IN
      (SELECT y.oid FROM pg_type y JOIN copied ON y.typnamespace = copied.oid))
  OR (t.classoid = 'pg_proc'::regclass AND t.objoid IN
      (SELECT y.oid FROM pg_proc y JOIN copied ON y.pronamespace = copied.oid))
  OR (t.classoid = 'pg_constraint'::regclass AND t.objoid IN
      (SELECT y.oid FROM pg_constraint y JOIN copied ON y.connamespace = copied.oid))
"""


def texts(work: Work, schemas: Sequence[str]) -> Iterator[str]:
    """Names, comments, defaults, constraints, indexes, labels, views, functions, triggers."""
    for (text,) in work.rows(_TEXTS, {"schemas": list(schemas)}):
        if text:
            yield str(text)
