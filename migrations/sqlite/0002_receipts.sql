-- Receipts (提供記録の受領証): those that this tenant holds of others' answers, and what it entered again of its own log from the
-- receipts that others hold, after a disk with its newest entries was lost. A receipt holds commitments, a signed checkpoint and
-- a proof; the keys that open the commitments never stand here, so there is nothing personal in these tables and nothing is sealed.

-- One row an answer that was checked, found or nothing alike. Append-only; it stays as long as the log does.
CREATE TABLE receipt (
    tenant     INTEGER NOT NULL, -- municipality code of the one that asked (照会者) and holds the receipt
    provider   INTEGER NOT NULL, -- municipality code of the one that answered (提供者); plain
    origin     TEXT    NOT NULL, -- name of the provider's log, with its epoch; plain
    log_index  INTEGER NOT NULL, -- place of the answer's entry in that log, from 0; plain
    entered_at INTEGER NOT NULL, -- when it was kept, milliseconds since 1970; plain
    request_id BLOB    NOT NULL CHECK (length(request_id) = 16), -- id of the request that was answered; plain
    leaf       BLOB    NOT NULL CHECK (length(leaf) = 134), -- the entry's leaf: commitments only; plain
    note       TEXT    NOT NULL, -- the provider's signed checkpoint that the proof leads to; plain
    proof      BLOB    NOT NULL CHECK (length(proof) % 32 = 0), -- audit path from the leaf to the checkpoint's root, 32 bytes a hash; plain
    PRIMARY KEY (tenant, provider, origin, log_index)
) STRICT;

-- A log of this tenant that lost its end: written by a restore that goes on in a new epoch, one row a lost epoch.
CREATE TABLE lost_log (
    tenant      INTEGER NOT NULL, -- municipality code
    origin      TEXT    NOT NULL, -- name of the lost log, with its epoch; plain
    from_index  INTEGER NOT NULL, -- the first entry that wasn't restored; 0 where nothing of this epoch was; plain
    signed_size INTEGER NOT NULL, -- entries in the newest checkpoint of it that was kept; 0 where none was; plain
    signed_root BLOB    CHECK (length(signed_root) = 32), -- that checkpoint's root; plain
    PRIMARY KEY (tenant, origin)
) STRICT, WITHOUT ROWID;

-- A lost entry that a member's receipt proved, and that was entered again. Append-only.
CREATE TABLE recovered_entry (
    tenant        INTEGER NOT NULL, -- municipality code
    origin        TEXT    NOT NULL, -- name of the lost log; plain
    log_index     INTEGER NOT NULL, -- the entry's place in it; plain
    leaf          BLOB    NOT NULL CHECK (length(leaf) = 134), -- its leaf: commitments only; plain
    tree_size     INTEGER NOT NULL, -- entries in the checkpoint of the receipt; plain
    tree_root     BLOB    NOT NULL CHECK (length(tree_root) = 32), -- that checkpoint's root; plain
    member        INTEGER NOT NULL, -- municipality code of the member that gave the receipt back; plain
    request_id    BLOB    NOT NULL CHECK (length(request_id) = 16), -- id of the request, as the member says; plain
    entered_index INTEGER NOT NULL, -- place of the entry that stands for it now in this tenant's log; plain
    PRIMARY KEY (tenant, origin, log_index)
) STRICT;
-- Two checkpoints of one size must have one root.
CREATE INDEX recovered_entry_tree ON recovered_entry (tenant, origin, tree_size);

-- A member that gave back all receipts it holds of a lost log: it isn't asked again.
CREATE TABLE recovery_answer (
    tenant        INTEGER NOT NULL, -- municipality code
    origin        TEXT    NOT NULL, -- name of the lost log; plain
    member        INTEGER NOT NULL, -- municipality code of the member; plain
    answered_at   INTEGER NOT NULL, -- when its last receipt came, milliseconds since 1970; plain
    receipts      INTEGER NOT NULL, -- how many receipts it gave; plain
    refused       INTEGER NOT NULL, -- how many of them failed a check; plain
    entered_index INTEGER NOT NULL, -- place of the entry about it in this tenant's log; plain
    PRIMARY KEY (tenant, origin, member)
) STRICT, WITHOUT ROWID;
