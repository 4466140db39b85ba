"""Catalog queries behind `structure`, for PostgreSQL 15 and later. Each takes `oid`, the table's."""

from __future__ import annotations

COLUMNS = """
WITH RECURSIVE resolved(attnum, oid, typmod, typtype, base, base_typmod, required) AS (
    SELECT a.attnum, t.oid, a.atttypmod, t.typtype, t.typbasetype, t.typtypmod, t.typnotnull
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT r.attnum, t.oid, r.base_typmod, t.typtype, t.typbasetype, t.typtypmod, r.required OR t.typnotnull
    FROM resolved r JOIN pg_catalog.pg_type t ON t.oid = r.base
    WHERE r.typtype = 'd'
)
SELECT a.attname::text AS name, quote_ident(a.attname) AS quoted, format_type(r.oid, r.typmod) AS type,
    a.attnotnull AND unsure.oid IS NULL OR r.required AS required,
    -- A domain's default is its column's, if that has none.
    CASE WHEN d.oid IS NOT NULL THEN pg_get_expr(d.adbin, d.adrelid)
        WHEN a.attidentity = '' THEN pg_get_expr(declared.typdefaultbin, 'pg_type'::regclass)
    END AS expression,
    a.attidentity::text AS identity, a.attgenerated::text AS generated,
    CASE WHEN n.nspname = 'pg_catalog' THEN c.collname::text
        WHEN c.oid IS NOT NULL THEN format('%%I.%%I', n.nspname, c.collname) END AS collation,
    (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
        FROM pg_catalog.pg_enum e WHERE e.enumtypid = r.oid) AS labels,
    array_remove(ARRAY[
        CASE WHEN declared.typtype = 'd'
            THEN format('domain %%s of column %%I', format_type(declared.oid, NULL), a.attname) END,
        CASE WHEN a.attgenerated = 'v' THEN format('computing column %%I when it is read', a.attname) END,
        CASE WHEN unsure.oid IS NOT NULL THEN format('NOT NULL of column %%I, not validated', a.attname) END
    ], NULL) AS others
FROM resolved r
JOIN pg_catalog.pg_attribute a ON a.attrelid = %(oid)s AND a.attnum = r.attnum
JOIN pg_catalog.pg_type declared ON declared.oid = a.atttypid
JOIN pg_catalog.pg_type base ON base.oid = r.oid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_catalog.pg_constraint unsure ON unsure.conrelid = a.attrelid AND unsure.contype = 'n'
    AND unsure.conkey = ARRAY[a.attnum] AND NOT unsure.convalidated
LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation AND c.oid <> base.typcollation
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
WHERE r.typtype <> 'd' ORDER BY r.attnum
"""

CONSTRAINTS = """
SELECT c.contype::text AS kind, c.conname::text AS name,
    (SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM unnest(c.conkey) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum) AS columns,
    CASE WHEN c.contype = 'c' THEN pg_get_expr(c.conbin, c.conrelid) END AS expression,
    n.nspname::text AS parent_schema, p.relname::text AS parent_name,
    (SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM unnest(c.confkey) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum) AS referred,
    c.confdeltype::text AS on_delete, c.confupdtype::text AS on_update, c.condeferrable AS deferrable,
    c.condeferred AS deferred,
    CASE c.contype WHEN 'x' THEN false WHEN 'p' THEN NOT periods WHEN 'u' THEN NOT periods
        ELSE c.convalidated AND NOT periods END AS carried,
    array_remove(ARRAY[
        CASE WHEN c.contype = 'x' THEN format('exclusion constraint %%I', c.conname) END,
        CASE WHEN NOT c.convalidated THEN format('constraint %%I, not validated', c.conname) END,
        CASE WHEN periods THEN format('constraint %%I over periods', c.conname) END,
        CASE WHEN c.contype IN ('p', 'u') AND c.condeferrable
            THEN format('deferring unique constraint %%I', c.conname) END,
        CASE WHEN i.indnullsnotdistinct
            THEN format('NULLS NOT DISTINCT of unique constraint %%I', c.conname) END,
        CASE WHEN c.contype IN ('p', 'u') AND i.indnatts > i.indnkeyatts
            THEN format('INCLUDE of unique constraint %%I', c.conname) END,
        CASE WHEN c.confmatchtype = 'f' THEN format('MATCH FULL of foreign key %%I', c.conname) END,
        CASE WHEN c.confdelsetcols IS NOT NULL
            THEN format('columns that ON DELETE of foreign key %%I sets', c.conname) END
    ], NULL) AS others
FROM pg_catalog.pg_constraint c
-- PostgreSQL 18 added the column.
CROSS JOIN LATERAL (SELECT coalesce((to_jsonb(c) ->> 'conperiod')::boolean, false)) AS l(periods)
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.conindid AND c.contype IN ('p', 'u')
LEFT JOIN pg_catalog.pg_class p ON p.oid = c.confrelid
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace
WHERE c.conrelid = %(oid)s AND c.contype IN ('p', 'u', 'f', 'c', 'x')
-- A foreign key to a partitioned table has one more for each partition.
AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint whole
    WHERE whole.oid = c.conparentid AND whole.conrelid = c.conrelid)
ORDER BY c.conname
"""

INDEXES = """
SELECT x.relname::text AS name, i.indisunique AS is_unique, m.amname::text AS method,
    pg_get_indexdef(i.indexrelid) AS definition,
    (SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE k.place <= i.indnkeyatts AND i.indpred IS NULL AND i.indexprs IS NULL) AS columns,
    m.amname = 'btree' AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnatts = i.indnkeyatts
        AND NOT i.indnullsnotdistinct AND x.reloptions IS NULL AND NOT EXISTS (
            SELECT FROM generate_series(0, i.indnkeyatts - 1) AS k(place)
            JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.place]
            JOIN pg_catalog.pg_opclass o ON o.oid = i.indclass[k.place]
            WHERE i.indoption[k.place] <> 0 OR NOT o.opcdefault OR i.indcollation[k.place] <> a.attcollation
        ) AS is_plain
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
JOIN pg_catalog.pg_am m ON m.oid = x.relam
WHERE i.indrelid = %(oid)s AND i.indisvalid AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_constraint c
    WHERE c.conrelid = i.indrelid AND c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))
ORDER BY x.relname
"""

SEQUENCES = """
SELECT s.relname::text AS name, a.attname::text AS column_name, q.seqincrement AS increment
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
    AND d.refobjid = %(oid)s AND d.deptype IN ('a', 'i')
ORDER BY s.relname
"""

OTHERS = """
SELECT format('trigger %%I', tgname) AS line FROM pg_catalog.pg_trigger
    WHERE tgrelid = %(oid)s AND NOT tgisinternal
UNION SELECT format('rule %%I', rulename) FROM pg_catalog.pg_rewrite WHERE ev_class = %(oid)s
UNION SELECT format('row-level security policy %%I', polname) FROM pg_catalog.pg_policy
    WHERE polrelid = %(oid)s
UNION SELECT format('extended statistics %%I', stxname) FROM pg_catalog.pg_statistic_ext
    WHERE stxrelid = %(oid)s
UNION SELECT format('index %%I, which is not valid', x.relname) FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = %(oid)s AND NOT i.indisvalid
UNION SELECT CASE WHEN d.objsubid = 0 THEN 'a comment on the table'
        ELSE format('a comment on column %%I', a.attname) END
    FROM pg_catalog.pg_description d
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = d.objoid AND a.attnum = d.objsubid
    WHERE d.classoid = 'pg_class'::regclass AND d.objoid = %(oid)s
UNION SELECT format('a comment on index %%I', x.relname) FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    JOIN pg_catalog.pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = x.oid
    WHERE i.indrelid = %(oid)s
UNION SELECT format('a comment on constraint %%I', c.conname) FROM pg_catalog.pg_constraint c
    JOIN pg_catalog.pg_description d ON d.classoid = 'pg_constraint'::regclass AND d.objoid = c.oid
    WHERE c.conrelid = %(oid)s
UNION SELECT 'row-level security' FROM pg_catalog.pg_class WHERE oid = %(oid)s AND relrowsecurity
UNION SELECT 'unlogged storage' FROM pg_catalog.pg_class WHERE oid = %(oid)s AND relpersistence = 'u'
UNION SELECT format('storage parameter %%s', split_part(option, '=', 1))
    FROM pg_catalog.pg_class, unnest(reloptions) AS option WHERE oid = %(oid)s
-- To whom is not told: a copy has readers of its own.
UNION SELECT 'grants to other roles' FROM pg_catalog.pg_class c, aclexplode(c.relacl) g
    WHERE c.oid = %(oid)s AND g.grantee <> c.relowner
UNION SELECT format('grants on column %%I', attname) FROM pg_catalog.pg_attribute
    WHERE attrelid = %(oid)s AND attacl IS NOT NULL AND NOT attisdropped
UNION SELECT 'partitioning' FROM pg_catalog.pg_class WHERE oid = %(oid)s AND relkind = 'p'
UNION SELECT format(CASE WHEN c.relispartition THEN 'being a partition of %%I.%%I'
        ELSE 'inheritance from %%I.%%I' END, n.nspname, p.relname)
    FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
    JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
    JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace WHERE i.inhrelid = %(oid)s
UNION SELECT 'tables that inherit from it' FROM pg_catalog.pg_class c
    WHERE c.oid = %(oid)s AND c.relkind = 'r'
    AND EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid)
UNION SELECT format('sequence %%I.%%I, which column %%I draws from and no column of it owns',
        n.nspname, s.relname, a.attname)
    FROM pg_catalog.pg_attrdef d
    JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    JOIN pg_catalog.pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid
        AND p.refclassid = 'pg_class'::regclass
    JOIN pg_catalog.pg_class s ON s.oid = p.refobjid AND s.relkind = 'S'
    JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
    WHERE d.adrelid = %(oid)s AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend o
        WHERE o.classid = 'pg_class'::regclass AND o.objid = s.oid AND o.refclassid = 'pg_class'::regclass
        AND o.refobjid = d.adrelid AND o.deptype IN ('a', 'i'))
"""
