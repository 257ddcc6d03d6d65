-- Keeps the texts to which models are fitted apart from those on which they are measured.

CREATE FUNCTION hartonomous_internal.common_passage(a text, b text, OUT first_a integer, OUT first_b integer,
                                                    OUT bytes bigint)
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous_internal.common_passage(text, text) IS
  'where a passage that two texts have in common begins in each, in characters from 1, and how many bytes it has; NULL '
  'if none is found: one of 511 bytes or more always is, one of less than 256 bytes only if it is both texts '
  '(docs/manual/calibrate.md); 53200 if the search needs more than hartonomous.max_work_memory';

-- One at a time, because two sessions that add the same text to both tables would not see each other's row.
CREATE FUNCTION hartonomous_internal.refuse_common_passage(kind text, name text, text text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  other record;
  shared record;
BEGIN
  PERFORM pg_advisory_xact_lock('hartonomous'::regnamespace::oid::int, 1);
  FOR other IN
    SELECT 'validation' AS kind, s.validation_set AS name, s.text
      FROM hartonomous.validation_sets s WHERE refuse_common_passage.kind = 'calibration'
    UNION ALL
    SELECT 'calibration', s.calibration_set, s.text
      FROM hartonomous.calibration_sets s WHERE refuse_common_passage.kind = 'validation'
  LOOP
    SELECT * INTO shared FROM hartonomous_internal.common_passage(refuse_common_passage.text, other.text);
    IF shared.bytes IS NOT NULL THEN
      PERFORM hartonomous_internal.raise_error('22023',
        format('%s set "%s" has a passage in common with %s set "%s"', refuse_common_passage.kind,
               refuse_common_passage.name, other.kind, other.name),
        detail => format('The passage has %s bytes and begins at character %s of the one and %s of the other: "%s".',
                         shared.bytes, shared.first_a, shared.first_b,
                         substr(refuse_common_passage.text, shared.first_a, 60)),
        hint => 'Texts on which a model is measured must not be those to which it is fitted: leave the passage out of '
                'one of them.');
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.refuse_common_passage(text, text, text) IS
  '22023 if a text, to be added as a ''calibration'' or a ''validation'' set, has a passage in common with a set of '
  'the other kind; other sessions that add sets wait until the end of the transaction';
