-- Receipts (提供記録の受領証): those that a tenant holds of others' answers, and what it entered again of its own log from the
-- receipts that others hold, after a disk with its newest entries was lost. A receipt holds commitments, a signed checkpoint and
-- a proof; the keys that open the commitments never stand here, so there is nothing personal in these tables and nothing is sealed.
--
-- Names of logs sort by their bytes, as in SQLite, so that copies of both are in one order.

INSERT INTO schema_step (version, kind, oldest_node) VALUES (2, 'expand', 1);

-- One row an answer that was checked, found or nothing alike. Append-only; it stays as long as the log does.
CREATE TABLE receipt (
    tenant     integer NOT NULL, -- municipality code of the one that asked (照会者) and holds the receipt
    provider   integer NOT NULL, -- municipality code of the one that answered (提供者); plain
    origin     text COLLATE "C" NOT NULL, -- name of the provider's log, with its epoch; plain
    log_index  bigint  NOT NULL, -- place of the answer's entry in that log, from 0; plain
    entered_at bigint  NOT NULL, -- when it was kept, milliseconds since 1970; plain
    request_id bytea   NOT NULL CHECK (octet_length(request_id) = 16), -- id of the request that was answered; plain
    leaf       bytea   NOT NULL CHECK (octet_length(leaf) = 134), -- the entry's leaf: commitments only; plain
    note       text    NOT NULL, -- the provider's signed checkpoint that the proof leads to; plain
    proof      bytea   NOT NULL CHECK (octet_length(proof) % 32 = 0), -- audit path from the leaf to the checkpoint's root, 32 bytes a hash; plain
    PRIMARY KEY (tenant, provider, origin, log_index)
) PARTITION BY LIST (tenant);

-- A log of a tenant that lost its end: written by a restore that goes on in a new epoch, one row a lost epoch.
CREATE TABLE lost_log (
    tenant      integer NOT NULL, -- municipality code
    origin      text COLLATE "C" NOT NULL, -- name of the lost log, with its epoch; plain
    from_index  bigint  NOT NULL, -- the first entry that wasn't restored; 0 where nothing of this epoch was; plain
    signed_size bigint  NOT NULL, -- entries in the newest checkpoint of it that was kept; 0 where none was; plain
    signed_root bytea   CHECK (octet_length(signed_root) = 32), -- that checkpoint's root; plain
    PRIMARY KEY (tenant, origin)
);

-- A lost entry that a member's receipt proved, and that was entered again. Append-only.
CREATE TABLE recovered_entry (
    tenant        integer NOT NULL, -- municipality code
    origin        text COLLATE "C" NOT NULL, -- name of the lost log; plain
    log_index     bigint  NOT NULL, -- the entry's place in it; plain
    leaf          bytea   NOT NULL CHECK (octet_length(leaf) = 134), -- its leaf: commitments only; plain
    tree_size     bigint  NOT NULL, -- entries in the checkpoint of the receipt; plain
    tree_root     bytea   NOT NULL CHECK (octet_length(tree_root) = 32), -- that checkpoint's root; plain
    member        integer NOT NULL, -- municipality code of the member that gave the receipt back; plain
    request_id    bytea   NOT NULL CHECK (octet_length(request_id) = 16), -- id of the request, as the member says; plain
    entered_index bigint  NOT NULL, -- place of the entry that stands for it now in the tenant's log; plain
    PRIMARY KEY (tenant, origin, log_index)
) PARTITION BY LIST (tenant);
-- Two checkpoints of one size must have one root.
CREATE INDEX recovered_entry_tree ON recovered_entry (tenant, origin, tree_size);

-- A member that gave back all receipts it holds of a lost log: it isn't asked again.
CREATE TABLE recovery_answer (
    tenant        integer NOT NULL, -- municipality code
    origin        text COLLATE "C" NOT NULL, -- name of the lost log; plain
    member        integer NOT NULL, -- municipality code of the member; plain
    answered_at   bigint  NOT NULL, -- when its last receipt came, milliseconds since 1970; plain
    receipts      bigint  NOT NULL, -- how many receipts it gave; plain
    refused       bigint  NOT NULL, -- how many of them failed a check; plain
    entered_index bigint  NOT NULL, -- place of the entry about it in the tenant's log; plain
    PRIMARY KEY (tenant, origin, member)
);

-- Hashes don't shrink: never tried.
ALTER TABLE receipt ALTER leaf SET STORAGE EXTERNAL, ALTER proof SET STORAGE EXTERNAL;
ALTER TABLE recovered_entry ALTER leaf SET STORAGE EXTERNAL;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['receipt', 'lost_log', 'recovered_entry', 'recovery_answer'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY one_tenant ON %I USING (tenant = current_tenant()) WITH CHECK (tenant = current_tenant())', name);
    END LOOP;
END
$$;
