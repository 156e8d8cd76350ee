-- Witnesses (C2SP tlog-witness): what this tenant cosigned of others' logs, and what others cosigned of its own. Both are public,
-- signed texts; nothing in these tables is personal and nothing is sealed.

-- As a witness: of each log the newest checkpoint that this tenant cosigned. Swapped, never rolled back, before the cosignature leaves.
CREATE TABLE witnessed_log (
    tenant INTEGER NOT NULL, -- municipality code of the witness
    origin TEXT    NOT NULL, -- name of the log, with its epoch; plain
    size   INTEGER NOT NULL, -- entries in its newest cosigned checkpoint; plain
    root   BLOB    NOT NULL CHECK (length(root) = 32), -- that checkpoint's root; plain
    note   TEXT    NOT NULL, -- that checkpoint with the log's signature and this witness's cosignature: a signed note; plain
    PRIMARY KEY (tenant, origin)
) STRICT, WITHOUT ROWID;

-- As a log: the newest checkpoint of each own epoch that enough of the configured witnesses cosigned.
CREATE TABLE cosigned_checkpoint (
    tenant INTEGER NOT NULL, -- municipality code
    origin TEXT    NOT NULL, -- name of the own log, with its epoch; plain
    size   INTEGER NOT NULL, -- entries in the checkpoint; plain
    note   TEXT    NOT NULL, -- the checkpoint with its cosignatures, which say when they were given: a signed note; plain
    PRIMARY KEY (tenant, origin)
) STRICT, WITHOUT ROWID;
