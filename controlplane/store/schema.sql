-- Version 1 of the database of controlplane/store/sqlite.py (PRAGMA user_version).
--
-- A value is written once, into history, which only grows at its end. `current` is small: which row of history
-- is the newest of each key. So every question is an index lookup: the newest value (current, then history by
-- rowid), all newest by prefix (a range of current), a prefix at an old revision (a range of history_by_key,
-- which covers it), and the changes since a revision (a range of history's rowid).

CREATE TABLE history (
    id              INTEGER PRIMARY KEY,  -- revision << 20 | position within its transaction
    key             TEXT    NOT NULL,
    create_revision INTEGER NOT NULL,
    version         INTEGER NOT NULL,     -- writes since creation; 0 marks a deletion
    previous        INTEGER NOT NULL,     -- id of the row this one replaced, 0 for none
    value           BLOB                  -- last, so that reading the columns above touches no overflow page
);
CREATE INDEX history_by_key ON history (key, id, version);

CREATE TABLE current (
    key   TEXT PRIMARY KEY,
    id    INTEGER NOT NULL,               -- of history
    lease INTEGER NOT NULL                -- 0 for none
) WITHOUT ROWID;
CREATE INDEX current_by_lease ON current (lease) WHERE lease != 0;

CREATE TABLE lease (
    id  INTEGER PRIMARY KEY,
    ttl REAL NOT NULL                     -- seconds
);

-- compacted: no revision below it can be asked for. swept: rows of history below this id have been swept by
-- compaction. next_lease: the id of the next lease, so that none is ever used again.
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counter VALUES ('compacted', 0), ('swept', 0), ('next_lease', 1);
