"""Statements about the redo log: its files, LogMiner, who reads it."""

from __future__ import annotations

from collections.abc import Sequence

LOG_FILES = """
SELECT a.NAME, a.THREAD#, a.SEQUENCE#, a.FIRST_CHANGE#, a.NEXT_CHANGE#, 'archived'
FROM V$ARCHIVED_LOG a
JOIN V$DATABASE d ON d.RESETLOGS_CHANGE# = a.RESETLOGS_CHANGE#
WHERE a.NAME IS NOT NULL AND a.ARCHIVED = 'YES' AND a.DELETED = 'NO' AND a.STANDBY_DEST = 'NO'
  AND a.NEXT_CHANGE# > :first AND a.FIRST_CHANGE# <= :last
UNION ALL
SELECT MIN(f.MEMBER), l.THREAD#, l.SEQUENCE#, l.FIRST_CHANGE#, l.NEXT_CHANGE#, 'online'
FROM V$LOG l
JOIN V$LOGFILE f ON f.GROUP# = l.GROUP#
WHERE l.STATUS <> 'UNUSED' AND l.NEXT_CHANGE# > :first AND l.FIRST_CHANGE# <= :last
GROUP BY l.THREAD#, l.SEQUENCE#, l.FIRST_CHANGE#, l.NEXT_CHANGE#
"""

THREADS = """
SELECT THREAD#, STATUS, INSTANCE, LAST_REDO_CHANGE#, ENABLE_CHANGE# FROM V$THREAD
WHERE ENABLED <> 'DISABLED'
"""

THIS_INSTANCE = "SELECT THREAD# FROM V$INSTANCE"

OLDEST_TRANSACTION = "SELECT MIN(START_SCN) FROM GV$TRANSACTION WHERE START_SCN > 0"

RETAINED = """
SELECT NVL(SUM(BLOCKS * BLOCK_SIZE), 0), MIN(FIRST_CHANGE#), MIN(FIRST_TIME) FROM V$ARCHIVED_LOG
WHERE NAME IS NOT NULL AND ARCHIVED = 'YES' AND DELETED = 'NO' AND STANDBY_DEST = 'NO'
"""

ARCHIVED_HOURS = """
SELECT (SYSDATE - MIN(FIRST_TIME)) * 24, (SYSDATE - (SELECT CREATED FROM V$DATABASE)) * 24
FROM V$ARCHIVED_LOG
WHERE NAME IS NOT NULL AND ARCHIVED = 'YES' AND DELETED = 'NO' AND STANDBY_DEST = 'NO'
"""

FENCE = (
    "DECLARE placed VARCHAR2(200); BEGIN placed := DBMS_TRANSACTION.LOCAL_TRANSACTION_ID(TRUE);"
    " COMMIT WRITE IMMEDIATE WAIT; END;"
)
"""Begins and ends a transaction without a change. Its commit is acknowledged when it is on disk, and all
redo of this instance from before it with it."""

ADD_FIRST_FILE = "BEGIN DBMS_LOGMNR.ADD_LOGFILE(LOGFILENAME => :name, OPTIONS => DBMS_LOGMNR.NEW); END;"
ADD_FILE = "BEGIN DBMS_LOGMNR.ADD_LOGFILE(LOGFILENAME => :name, OPTIONS => DBMS_LOGMNR.ADDFILE); END;"
START = (
    "BEGIN DBMS_LOGMNR.START_LOGMNR(STARTSCN => :first, ENDSCN => :last,"
    " OPTIONS => DBMS_LOGMNR.DICT_FROM_ONLINE_CATALOG + DBMS_LOGMNR.NO_ROWID_IN_STMT"
    " + DBMS_LOGMNR.NO_SQL_DELIMITER); END;"
)

_CONTENTS = """
SELECT CAST(SCN AS NUMBER(18)) AS SCN, CAST(THREAD# AS NUMBER(9)) AS THREAD, RS_ID,
       CAST(SSN AS NUMBER(18)) AS SSN, RAWTOHEX(XID) AS XID, CAST(OPERATION_CODE AS NUMBER(9)) AS CODE,
       CAST(c.ROLLBACK AS NUMBER(9)) AS UNDOES, CAST(CSF AS NUMBER(9)) AS CONTINUES,
       CAST(STATUS AS NUMBER(9)) AS STATUS, SEG_OWNER, TABLE_NAME, CAST(DATA_OBJ# AS NUMBER(18)) AS OBJECT,
       ROW_ID, TO_CHAR(TIMESTAMP, 'SYYYY-MM-DD HH24:MI:SS') AS WRITTEN, SQL_REDO, INFO
FROM V$LOGMNR_CONTENTS c
WHERE SCN >= :first AND SCN <= :last
"""
"""Without an ORDER BY: rows come in the order of the log, threads merged by SCN, and the pieces of one
statement stand one behind the other."""


def contents(tables: int, objects: Sequence[int], *, container: bool, xid: bool) -> str:
    """Rows of transactions and of `tables` tables (`:o0`, `:n0` and so on); `objects` are the numbers that
    the log knows them by. With `container`, of `:container` alone, with `xid` of `:xid` alone."""
    ours = [f"(SEG_OWNER = :o{each} AND TABLE_NAME = :n{each})" for each in range(tables)]
    for first in range(0, len(objects), 1000):
        # As many as a list of Oracle holds.
        ours.append(f"DATA_OBJ# IN ({', '.join(str(each) for each in objects[first : first + 1000])})")
    changed = f"OPERATION_CODE NOT IN (0, 6, 7, 36) AND ({' OR '.join(ours)})" if ours else "1 = 0"
    # Gaps of the log belong to every table.
    text = f"{_CONTENTS.strip()}\n  AND (OPERATION_CODE IN (6, 7, 34, 36) OR ({changed}))"
    if container:
        text += "\n  AND (SRC_CON_NAME = :container OR OPERATION_CODE = 34)"
    return text + ("\n  AND XID = HEXTORAW(:xid)" if xid else "")


TAKE_LOCK = "BEGIN :taken := DBMS_LOCK.REQUEST(:lock_id, DBMS_LOCK.X_MODE, 2, FALSE); END;"
"""Exclusive, for as long as the session lives; 0 and 4 say that it is ours."""

READER = """
SELECT s.INST_ID, s.SID, s.SERIAL# FROM GV$LOCK l
JOIN GV$SESSION s ON s.INST_ID = l.INST_ID AND s.SID = l.SID
WHERE l.TYPE = 'UL' AND l.ID1 = :lock_id AND l.LMODE = 6
"""

OURS = """
SELECT COUNT(*) FROM V$LOCK
WHERE TYPE = 'UL' AND ID1 = :lock_id AND LMODE = 6 AND SID = SYS_CONTEXT('USERENV', 'SID')
"""


def kill(instance: int, sid: int, serial: int) -> str:
    return f"ALTER SYSTEM KILL SESSION '{sid},{serial},@{instance}' IMMEDIATE"
