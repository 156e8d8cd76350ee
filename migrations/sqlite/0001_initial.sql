-- One database file a tenant. Every table's key still starts with the municipality code, so that a row always says whose
-- it is, and the same rows fit a database shared by many tenants.
--
-- "Sealed" is an envelope of vrx-crypto (AES-256-GCM, associated data: tenant uuid, column label, row id, person id);
-- the key is named behind it. Everything that isn't sealed is listed here as what a reader of the file learns.

CREATE TABLE tenant_meta (
    tenant        INTEGER NOT NULL PRIMARY KEY,  -- municipality code (全国地方公共団体コード); plain
    tenant_uuid   BLOB    NOT NULL CHECK (length(tenant_uuid) = 16), -- the tenant's own id, made by init; plain
    decoys        INTEGER NOT NULL,              -- how many rows of person are decoys; plain
    heads_flushed INTEGER NOT NULL               -- subject_head covers every entry below this index; plain
) STRICT;

CREATE TABLE person (
    tenant      INTEGER NOT NULL, -- municipality code
    person_id   BLOB    NOT NULL CHECK (length(person_id) = 16), -- random row id; ff..ff is always a decoy; plain
    wrapped_key BLOB    NOT NULL, -- the person's own key; sealed under the record key
    number      BLOB    NOT NULL, -- individual number (個人番号); sealed under HKDF(number key, person key)
    PRIMARY KEY (tenant, person_id)
) STRICT, WITHOUT ROWID;

-- Append-only. A person's approved state is the newest revision whose import is approved.
CREATE TABLE person_revision (
    tenant    INTEGER NOT NULL, -- municipality code
    person_id BLOB    NOT NULL, -- whose
    revision  INTEGER NOT NULL, -- from 1; repeated inside the body
    import_id BLOB    NOT NULL CHECK (length(import_id) = 16), -- import it came with; repeated inside the body
    log_index INTEGER NOT NULL, -- log entry it came with; plain
    body      BLOB    NOT NULL, -- 宛名基本情報: names, dates, address, protection; sealed under the person's key
    PRIMARY KEY (tenant, person_id, revision)
) STRICT, WITHOUT ROWID;

-- Append-only, like person_revision.
CREATE TABLE dose_revision (
    tenant    INTEGER NOT NULL, -- municipality code
    person_id BLOB    NOT NULL, -- whose
    dose_id   BLOB    NOT NULL CHECK (length(dose_id) = 16), -- random id of the dose (接種記録); plain
    revision  INTEGER NOT NULL, -- from 1; repeated inside the body
    import_id BLOB    NOT NULL CHECK (length(import_id) = 16), -- import it came with; repeated inside the body
    log_index INTEGER NOT NULL, -- log entry it came with; plain
    body      BLOB    NOT NULL, -- the dose; sealed under the person's key
    PRIMARY KEY (tenant, person_id, dose_id, revision)
) STRICT, WITHOUT ROWID;

-- How a person is found. A tag only proposes: the row it leads to is opened and compared.
CREATE TABLE person_tag (
    tenant    INTEGER NOT NULL, -- municipality code
    kind      INTEGER NOT NULL, -- 1 individual number, 2 addressee number (宛名番号), 3 place and voucher number (接種券番号)
    key_id    INTEGER NOT NULL, -- version of the tag key
    tag       BLOB    NOT NULL CHECK (length(tag) = 32), -- HMAC-SHA256 under the tag key
    person_id BLOB    NOT NULL, -- where it leads
    PRIMARY KEY (tenant, kind, key_id, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE import (
    tenant    INTEGER NOT NULL, -- municipality code
    import_id BLOB    NOT NULL CHECK (length(import_id) = 16), -- random id; plain
    body      BLOB    NOT NULL, -- kind, state, who entered and approved it, counts, digest, log range; sealed under the record key
    PRIMARY KEY (tenant, import_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE inquiry (
    tenant      INTEGER NOT NULL, -- municipality code
    inquiry_id  BLOB    NOT NULL CHECK (length(inquiry_id) = 16), -- random id; plain
    version     INTEGER NOT NULL, -- times written, from 1; repeated inside the body
    expires_at  INTEGER NOT NULL, -- milliseconds since 1970; repeated inside the body
    wrapped_key BLOB    NOT NULL, -- the row's own key; sealed under the record key
    body        BLOB    NOT NULL, -- what was asked and answered; sealed under the row's own key
    PRIMARY KEY (tenant, inquiry_id)
) STRICT;

-- The newest checkpoint seen of another municipality's log: its next one must be consistent with it. A public, signed text.
CREATE TABLE peer_checkpoint (
    tenant   INTEGER NOT NULL, -- municipality code
    peer     INTEGER NOT NULL, -- the other municipality's code
    size     INTEGER NOT NULL, -- entries it covers; plain
    note     TEXT    NOT NULL, -- the signed note; plain
    PRIMARY KEY (tenant, peer)
) STRICT, WITHOUT ROWID;

-- One file a tenant, so the index alone is the row id: entries are appended at the end of the tree and never move.
CREATE TABLE log_entry (
    tenant      INTEGER NOT NULL, -- municipality code
    idx         INTEGER NOT NULL PRIMARY KEY, -- place in the log, from 0
    entry_id    BLOB    NOT NULL CHECK (length(entry_id) = 16), -- random id; plain
    kind        INTEGER NOT NULL, -- kind of entry; plain
    subject     BLOB    NOT NULL CHECK (length(subject) = 32), -- HMAC of the person it is about, of another kind than person_tag's; random where nobody is
    subject_seq INTEGER NOT NULL, -- number among the subject's entries, from 1; plain
    leaf        BLOB    NOT NULL CHECK (length(leaf) = 134), -- the leaf's bytes: commitments only; plain
    opening_key BLOB    NOT NULL, -- the opening's own key; sealed under the log key
    opening     BLOB    NOT NULL  -- fields and commitment keys; sealed under its own key
) STRICT;

CREATE TABLE log_tile (
    tenant INTEGER NOT NULL, -- municipality code
    level  INTEGER NOT NULL, -- C2SP tlog-tiles, height 8
    idx    INTEGER NOT NULL, -- number within the level, from 0
    hashes BLOB    NOT NULL CHECK (length(hashes) = 8192), -- 256 hashes; only full tiles stand here; plain
    PRIMARY KEY (tenant, level, idx)
) STRICT;

CREATE TABLE log_head (
    tenant     INTEGER NOT NULL PRIMARY KEY, -- municipality code
    size       INTEGER NOT NULL, -- number of entries
    root       BLOB    NOT NULL CHECK (length(root) = 32), -- RFC 6962 root over them
    epoch      INTEGER NOT NULL, -- epoch of the log
    last_time  INTEGER NOT NULL, -- time of the last entry, milliseconds since 1970
    checkpoint TEXT              -- the last signed checkpoint known then: a signed note; plain
) STRICT;

-- Where each subject's linked list of entries ends. Written behind the log in bulk (tenant_meta.heads_flushed).
CREATE TABLE subject_head (
    tenant     INTEGER NOT NULL, -- municipality code
    subject    BLOB    NOT NULL CHECK (length(subject) = 32), -- as in log_entry
    seq        INTEGER NOT NULL, -- number of the newest entry among the subject's
    last_index INTEGER NOT NULL, -- its place in the log
    PRIMARY KEY (tenant, subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE canary (
    tenant  INTEGER NOT NULL PRIMARY KEY, -- municipality code
    written INTEGER NOT NULL -- how often it was written
) STRICT;
