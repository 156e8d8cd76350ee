-- Erasure (消去): what exempts a person from it, the runs with who proposed and approved them, and the list that a run works
-- through. Ids of persons stand here while their records do; a run that is over has none left.

INSERT INTO schema_step (version, kind, oldest_node) VALUES (4, 'expand', 1);

-- 消去の保留. One row a person whose records stay although their time is over.
CREATE TABLE hold (
    tenant    integer NOT NULL, -- municipality code
    person_id bytea   NOT NULL CHECK (octet_length(person_id) = 16), -- whose records stay; plain
    body      bytea   NOT NULL, -- until when, why, who placed it, subject tags of their log entries; sealed under the record key
    PRIMARY KEY (tenant, person_id)
);

-- One row an erasure, from its proposal on. It stays: 消去記録. Only the owner of the tables writes rewritten_at.
CREATE TABLE erasure_run (
    tenant       integer NOT NULL, -- municipality code
    run_id       bytea   NOT NULL CHECK (octet_length(run_id) = 16), -- random id; plain
    rewritten_at bigint, -- when the files were rewritten without what was erased, milliseconds since 1970; plain
    body         bytea   NOT NULL, -- stage, who proposed and approved it, counts, certificate; sealed under the record key
    PRIMARY KEY (tenant, run_id)
);

-- The persons that the one open run works through; empty otherwise.
CREATE TABLE erasure_person (
    tenant    integer  NOT NULL, -- municipality code
    person_id bytea    NOT NULL CHECK (octet_length(person_id) = 16), -- whose records are to go; plain
    step      smallint NOT NULL, -- 0 listed, 1 found due again and no longer found, 2 key destroyed, 3 rows gone; plain
    PRIMARY KEY (tenant, person_id)
);
CREATE INDEX erasure_person_step ON erasure_person (tenant, step);

-- Ciphertexts don't shrink: never tried.
ALTER TABLE hold ALTER body SET STORAGE EXTERNAL;
ALTER TABLE erasure_run ALTER body SET STORAGE EXTERNAL;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['hold', 'erasure_run', 'erasure_person'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY one_tenant ON %I USING (tenant = current_tenant()) WITH CHECK (tenant = current_tenant())', name);
    END LOOP;
END
$$;

-- Nodes have no right to delete a person's rows, nor to change an entry. What an erasure needs of both, and no more, stands in
-- these functions, which run as the owner, for the transaction's tenant: they take only persons that are claimed, and of an
-- entry only the opening, with the tag of its subject. No opening can be put in another's place, and no leaf be touched.
--
-- Each statement names the tenant's own partition: one over the table would be planned for, and lock, every tenant's.

-- The tenant's partition of a table; nothing without a tenant.
CREATE FUNCTION own_partition(name text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN quote_ident(name || '_' || lpad(current_tenant()::text, 6, '0'));

-- Takes claimed persons out of everybody's sight.
CREATE FUNCTION erase_tags(kinds smallint[], keys bigint[], tags bytea[], persons bytea[]) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = vrx, pg_temp
    AS $$
BEGIN
    EXECUTE 'DELETE FROM ' || own_partition('person_tag') || ' t
             USING unnest($1, $2, $3, $4) AS asked (kind, key_id, tag, person_id), erasure_person e
             WHERE t.tenant = $5 AND t.kind = asked.kind AND t.key_id = asked.key_id AND t.tag = asked.tag
               AND t.person_id = asked.person_id
               AND e.tenant = $5 AND e.person_id = asked.person_id AND e.step = 1'
        USING kinds, keys, tags, persons, current_tenant();
END
$$;

-- Destroys the keys of claimed persons, and their sealed numbers.
CREATE FUNCTION destroy_person_keys(persons bytea[]) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = vrx, pg_temp
    AS $$
BEGIN
    EXECUTE 'DELETE FROM ' || own_partition('person') || ' p USING erasure_person e
             WHERE p.tenant = $2 AND p.person_id = ANY ($1)
               AND e.tenant = $2 AND e.person_id = p.person_id AND e.step = 1'
        USING persons, current_tenant();
END
$$;

-- Deletes the rows of persons whose keys are destroyed.
CREATE FUNCTION delete_person_rows(persons bytea[]) RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = vrx, pg_temp
    AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['person_revision', 'dose_revision'] LOOP
        EXECUTE 'DELETE FROM ' || own_partition(name) || ' r USING erasure_person e
                 WHERE r.tenant = $2 AND r.person_id = ANY ($1)
                   AND e.tenant = $2 AND e.person_id = r.person_id AND e.step = 2'
            USING persons, current_tenant();
    END LOOP;
END
$$;

-- Takes whatever tag still leads to an erased person: one reading of all tags, at a run's end.
CREATE FUNCTION sweep_erased() RETURNS void
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = vrx, pg_temp
    AS $$
BEGIN
    EXECUTE 'DELETE FROM ' || own_partition('person_tag') || ' t
             WHERE t.tenant = $1
               AND t.person_id IN (SELECT person_id FROM erasure_person WHERE tenant = $1 AND step = 3)'
        USING current_tenant();
END
$$;

-- Blanks openings: what stays of such an entry is its leaf. Gives how many.
CREATE FUNCTION blank_openings(places bigint[], subjects bytea[]) RETURNS bigint
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = vrx, pg_temp
    AS $$
DECLARE
    blanked bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM erasure_run r WHERE r.tenant = current_tenant() AND r.rewritten_at IS NULL) THEN
        RAISE EXCEPTION 'no erasure is under way';
    END IF;
    EXECUTE 'UPDATE ' || own_partition('log_entry') || $update$ l
             SET opening_key = '', opening = '', subject = asked.subject
             FROM unnest($1, $2) AS asked (idx, subject)
             WHERE l.tenant = $3 AND l.idx = asked.idx AND l.kind NOT IN (4, 5, 6) AND l.opening_key <> ''$update$
        USING places, subjects, current_tenant();
    GET DIAGNOSTICS blanked = ROW_COUNT;
    RETURN blanked;
END
$$;

REVOKE ALL ON FUNCTION own_partition(text), erase_tags(smallint[], bigint[], bytea[], bytea[]), destroy_person_keys(bytea[]),
    delete_person_rows(bytea[]), sweep_erased(), blank_openings(bigint[], bytea[]) FROM PUBLIC;
