-- Erasure (消去): what exempts a person from it, the runs with who proposed and approved them, and the list that a run works
-- through. Ids of persons stand here while their records do; a run that is over has none left.

-- 消去の保留. One row a person whose records stay although their time is over.
CREATE TABLE hold (
    tenant    INTEGER NOT NULL, -- municipality code
    person_id BLOB    NOT NULL CHECK (length(person_id) = 16), -- whose records stay; plain
    body      BLOB    NOT NULL, -- until when, why, who placed it, subject tags of their log entries; sealed under the record key
    PRIMARY KEY (tenant, person_id)
) STRICT, WITHOUT ROWID;

-- One row an erasure, from its proposal on. It stays: 消去記録.
CREATE TABLE erasure_run (
    tenant       INTEGER NOT NULL, -- municipality code
    run_id       BLOB    NOT NULL CHECK (length(run_id) = 16), -- random id; plain
    rewritten_at INTEGER, -- when the files were rewritten without what was erased, milliseconds since 1970; plain
    body         BLOB    NOT NULL, -- stage, who proposed and approved it, counts, certificate; sealed under the record key
    PRIMARY KEY (tenant, run_id)
) STRICT, WITHOUT ROWID;

-- The persons that the one open run works through; empty otherwise.
CREATE TABLE erasure_person (
    tenant    INTEGER NOT NULL, -- municipality code
    person_id BLOB    NOT NULL CHECK (length(person_id) = 16), -- whose records are to go; plain
    step      INTEGER NOT NULL, -- 0 listed, 1 found due again and no longer found, 2 key destroyed, 3 rows gone; plain
    PRIMARY KEY (tenant, person_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX erasure_person_step ON erasure_person (tenant, step);
