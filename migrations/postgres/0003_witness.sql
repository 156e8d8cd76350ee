-- Witnesses (C2SP tlog-witness): what a tenant cosigned of others' logs, and what others cosigned of its own. Both are public,
-- signed texts; nothing in these tables is personal and nothing is sealed. A tenant has a row a log: too few for partitions.
--
-- Names of logs sort by their bytes, as in SQLite, so that copies of both are in one order.

INSERT INTO schema_step (version, kind, oldest_node) VALUES (3, 'expand', 1);

-- As a witness: of each log the newest checkpoint that the tenant cosigned. Swapped, never rolled back, before the cosignature leaves.
CREATE TABLE witnessed_log (
    tenant integer NOT NULL, -- municipality code of the witness
    origin text COLLATE "C" NOT NULL, -- name of the log, with its epoch; plain
    size   bigint  NOT NULL, -- entries in its newest cosigned checkpoint; plain
    root   bytea   NOT NULL CHECK (octet_length(root) = 32), -- that checkpoint's root; plain
    note   text    NOT NULL, -- that checkpoint with the log's signature and the witness's cosignature: a signed note; plain
    PRIMARY KEY (tenant, origin)
) WITH (fillfactor = 50);

-- As a log: the newest checkpoint of each own epoch that enough of the configured witnesses cosigned.
CREATE TABLE cosigned_checkpoint (
    tenant integer NOT NULL, -- municipality code
    origin text COLLATE "C" NOT NULL, -- name of the own log, with its epoch; plain
    size   bigint  NOT NULL, -- entries in the checkpoint; plain
    note   text    NOT NULL, -- the checkpoint with its cosignatures, which say when they were given: a signed note; plain
    PRIMARY KEY (tenant, origin)
) WITH (fillfactor = 50);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['witnessed_log', 'cosigned_checkpoint'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY one_tenant ON %I USING (tenant = current_tenant()) WITH CHECK (tenant = current_tenant())', name);
    END LOOP;
END
$$;
