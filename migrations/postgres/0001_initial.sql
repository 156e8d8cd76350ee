-- One schema for many tenants, in the schema `vrx`, owned by the role that migrates. Every table of residents' rows is
-- list-partitioned by the municipality code, and every table that holds a tenant's rows has row-level security forced:
-- a transaction sees the one tenant that it names in the setting vrx.tenant, and without it nothing. The role of the
-- serving nodes owns nothing; what it may do is granted by `vrx-node migrate`, table by table.
--
-- "Sealed" is an envelope of vrx-crypto (AES-256-GCM, associated data: tenant uuid, column label, row id, person id);
-- the key is named behind it. Everything that isn't sealed is listed here as what a reader of the database learns.

-- What nodes may serve this schema. One row a migration: a node whose own newest migration is older than the newest
-- row's oldest_node is refused, and so is one that doesn't know schemas this old any more.
CREATE TABLE schema_step (
    version     bigint NOT NULL PRIMARY KEY, -- number of the migration
    kind        text   NOT NULL CHECK (kind IN ('expand', 'contract')), -- adds what old nodes don't see, or removes what they no longer use
    oldest_node bigint NOT NULL              -- newest migration known to the oldest node that can serve this schema
);
INSERT INTO schema_step (version, kind, oldest_node) VALUES (1, 'expand', 1);

CREATE TABLE tenant_meta (
    tenant      integer NOT NULL PRIMARY KEY,  -- municipality code (全国地方公共団体コード); plain
    tenant_uuid bytea   NOT NULL CHECK (octet_length(tenant_uuid) = 16), -- the tenant's own id, made by init; plain
    decoys      integer NOT NULL,              -- how many rows of person are decoys; plain
    approvals   bigint  NOT NULL DEFAULT 0,    -- rises with each approved import: what other nodes read approvals again by; plain
    state       smallint NOT NULL DEFAULT 1 CHECK (state IN (1, 2, 3)) -- 1 serving, 2 read-only (being moved away), 3 arriving; plain
) WITH (fillfactor = 50);

CREATE TABLE person (
    tenant      integer NOT NULL, -- municipality code
    person_id   bytea   NOT NULL CHECK (octet_length(person_id) = 16), -- random row id; ff..ff is always a decoy; plain
    wrapped_key bytea   NOT NULL, -- the person's own key; sealed under the record key
    number      bytea   NOT NULL, -- individual number (個人番号); sealed under HKDF(number key, person key)
    PRIMARY KEY (tenant, person_id)
) PARTITION BY LIST (tenant);

-- Append-only. A person's approved state is the newest revision whose import is approved.
CREATE TABLE person_revision (
    tenant    integer NOT NULL, -- municipality code
    person_id bytea   NOT NULL, -- whose
    revision  integer NOT NULL, -- from 1; repeated inside the body
    import_id bytea   NOT NULL CHECK (octet_length(import_id) = 16), -- import it came with; repeated inside the body
    log_index bigint  NOT NULL, -- log entry it came with; plain
    body      bytea   NOT NULL, -- 宛名基本情報: names, dates, address, protection; sealed under the person's key
    PRIMARY KEY (tenant, person_id, revision)
) PARTITION BY LIST (tenant);

-- Append-only, like person_revision.
CREATE TABLE dose_revision (
    tenant    integer NOT NULL, -- municipality code
    person_id bytea   NOT NULL, -- whose
    dose_id   bytea   NOT NULL CHECK (octet_length(dose_id) = 16), -- random id of the dose (接種記録); plain
    revision  integer NOT NULL, -- from 1; repeated inside the body
    import_id bytea   NOT NULL CHECK (octet_length(import_id) = 16), -- import it came with; repeated inside the body
    log_index bigint  NOT NULL, -- log entry it came with; plain
    body      bytea   NOT NULL, -- the dose; sealed under the person's key
    PRIMARY KEY (tenant, person_id, dose_id, revision)
) PARTITION BY LIST (tenant);

-- How a person is found. A tag only proposes: the row it leads to is opened and compared.
CREATE TABLE person_tag (
    tenant    integer  NOT NULL, -- municipality code
    kind      smallint NOT NULL, -- 1 individual number, 2 addressee number (宛名番号), 3 place and voucher number (接種券番号)
    key_id    bigint   NOT NULL, -- version of the tag key
    tag       bytea   NOT NULL CHECK (octet_length(tag) = 32), -- HMAC-SHA256 under the tag key
    person_id bytea   NOT NULL, -- where it leads
    PRIMARY KEY (tenant, kind, key_id, tag)
) PARTITION BY LIST (tenant);

CREATE TABLE import (
    tenant    integer NOT NULL, -- municipality code
    import_id bytea   NOT NULL CHECK (octet_length(import_id) = 16), -- random id; plain
    body      bytea   NOT NULL, -- kind, state, who entered and approved it, counts, digest, log range; sealed under the record key
    PRIMARY KEY (tenant, import_id)
) PARTITION BY LIST (tenant);

CREATE TABLE inquiry (
    tenant      integer NOT NULL, -- municipality code
    inquiry_id  bytea   NOT NULL CHECK (octet_length(inquiry_id) = 16), -- random id; plain
    version     integer NOT NULL, -- times written, from 1; repeated inside the body
    expires_at  bigint  NOT NULL, -- milliseconds since 1970; repeated inside the body
    wrapped_key bytea   NOT NULL, -- the row's own key; sealed under the record key
    body        bytea   NOT NULL, -- what was asked and answered; sealed under the row's own key
    PRIMARY KEY (tenant, inquiry_id)
) PARTITION BY LIST (tenant);

-- The newest checkpoint seen of another municipality's log: its next one must be consistent with it. A public, signed text.
CREATE TABLE peer_checkpoint (
    tenant integer NOT NULL, -- municipality code
    peer   integer NOT NULL, -- the other municipality's code
    size   bigint  NOT NULL, -- entries it covers; plain
    note   text    NOT NULL, -- the signed note; plain
    PRIMARY KEY (tenant, peer)
) PARTITION BY LIST (tenant);

-- The nodes' role may add rows and read them, never change or delete one.
CREATE TABLE log_entry (
    tenant      integer  NOT NULL, -- municipality code
    idx         bigint   NOT NULL, -- place in the log, from 0
    entry_id    bytea   NOT NULL CHECK (octet_length(entry_id) = 16), -- random id; plain
    kind        smallint NOT NULL, -- kind of entry; plain
    subject     bytea   NOT NULL CHECK (octet_length(subject) = 32), -- HMAC of the person it is about, of another kind than person_tag's; random where nobody is
    subject_seq bigint   NOT NULL, -- number among the subject's entries, from 1; plain
    leaf        bytea   NOT NULL CHECK (octet_length(leaf) = 134), -- the leaf's bytes: commitments only; plain
    opening_key bytea   NOT NULL, -- the opening's own key; sealed under the log key
    opening     bytea   NOT NULL, -- fields and commitment keys; sealed under its own key
    PRIMARY KEY (tenant, idx)
) PARTITION BY LIST (tenant);
-- Where each subject's linked list of entries ends: read backwards, without touching the rows.
CREATE INDEX log_entry_subject ON log_entry (tenant, subject, idx) INCLUDE (subject_seq);

CREATE TABLE log_tile (
    tenant integer  NOT NULL, -- municipality code
    level  smallint NOT NULL, -- C2SP tlog-tiles, height 8
    idx    bigint   NOT NULL, -- number within the level, from 0
    hashes bytea   NOT NULL CHECK (octet_length(hashes) = 8192), -- 256 hashes; only full tiles stand here; plain
    PRIMARY KEY (tenant, level, idx)
) PARTITION BY LIST (tenant);

-- One row a tenant, changed by every batch: half of each page stays free, so that a change stays on its page.
CREATE TABLE log_head (
    tenant     integer NOT NULL PRIMARY KEY, -- municipality code
    size       bigint  NOT NULL, -- number of entries
    root       bytea   NOT NULL CHECK (octet_length(root) = 32), -- RFC 6962 root over them
    epoch      bigint  NOT NULL, -- epoch of the log: a node of another epoch appends nothing
    last_time  bigint  NOT NULL, -- time of the last entry, milliseconds since 1970
    checkpoint text              -- the last signed checkpoint known then: a signed note; plain
) WITH (fillfactor = 50);

CREATE TABLE canary (
    tenant  integer NOT NULL PRIMARY KEY, -- municipality code
    written bigint  NOT NULL -- how often it was written
) WITH (fillfactor = 50);

-- Ciphertexts and hashes don't shrink: never tried.
ALTER TABLE person ALTER wrapped_key SET STORAGE EXTERNAL, ALTER number SET STORAGE EXTERNAL;
ALTER TABLE person_revision ALTER body SET STORAGE EXTERNAL;
ALTER TABLE dose_revision ALTER body SET STORAGE EXTERNAL;
ALTER TABLE import ALTER body SET STORAGE EXTERNAL;
ALTER TABLE inquiry ALTER wrapped_key SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL;
ALTER TABLE log_entry ALTER leaf SET STORAGE EXTERNAL, ALTER opening_key SET STORAGE EXTERNAL, ALTER opening SET STORAGE EXTERNAL;
ALTER TABLE log_tile ALTER hashes SET STORAGE EXTERNAL;

-- A transaction works for one tenant: the one it has set. An unset or empty setting matches no row.
CREATE FUNCTION current_tenant() RETURNS integer
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('vrx.tenant', true), '')::integer;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'tenant_meta', 'person', 'person_revision', 'dose_revision', 'person_tag', 'import', 'inquiry',
        'peer_checkpoint', 'log_entry', 'log_tile', 'log_head', 'canary'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY one_tenant ON %I USING (tenant = current_tenant()) WITH CHECK (tenant = current_tenant())', name);
    END LOOP;
END
$$;
