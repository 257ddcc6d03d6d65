-- What the loop of api/ooda.sql is made of: the kinds of changes it proposes, what each is expected to save and to
-- lose, and carrying out those that maintain the store. Changes of models are trials (internal/trials.sql). The SQL
-- that a hypothesis shows is for people: it is never executed.

-- Level 1 is the boldest. The risk is that of a kind before anything was learned of it.
CREATE FUNCTION hartonomous_internal.hypothesis_levels()
  RETURNS TABLE (hypothesis_type text, level integer, change jsonb, risk double precision)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1 ROWS 20
BEGIN ATOMIC
  SELECT v.* FROM (VALUES
    ('QuantizeModel', 1, '{"stage": "quantize", "format": "Q2_K", "requantize": true}'::jsonb, 0.7::float8),
    ('QuantizeModel', 2, '{"stage": "quantize", "format": "Q3_K_M", "requantize": true}', 0.5),
    ('QuantizeModel', 3, '{"stage": "quantize", "format": "Q4_K_M", "requantize": true}', 0.3),
    ('QuantizeModel', 4, '{"stage": "quantize", "format": "Q5_K_M", "requantize": true}', 0.2),
    ('QuantizeModel', 5, '{"stage": "quantize", "format": "Q6_K", "requantize": true}', 0.15),
    ('QuantizeModel', 6, '{"stage": "quantize", "format": "Q8_0", "requantize": true}', 0.1),
    ('PruneModel', 1, '{"stage": "prune", "keep_ratio": 0.8, "keep_ratio_of": "present"}', 0.4),
    ('PruneModel', 2, '{"stage": "prune", "keep_ratio": 0.95, "keep_ratio_of": "present"}', 0.3),
    ('PruneModel', 3, '{"stage": "prune", "keep_ratio": 0.99, "keep_ratio_of": "present"}', 0.2),
    ('PruneModel', 4, '{"stage": "prune", "keep_ratio": 0.999, "keep_ratio_of": "present"}', 0.1),
    ('SvdCompress', 1, '{"stage": "svd", "target_ratio": 0.5}', 0.6),
    ('SvdCompress', 2, '{"stage": "svd", "target_ratio": 0.7}', 0.5),
    ('SvdCompress', 3, '{"stage": "svd", "target_ratio": 0.9}', 0.4),
    ('RemoveNeurons', 1, '{"stage": "remove_neurons", "keep_ratio": 0.9}', 0.5),
    ('RemoveNeurons', 2, '{"stage": "remove_neurons", "keep_ratio": 0.95}', 0.4),
    ('RemoveBlock', 1, '{"stage": "remove_blocks", "count": 1, "protected_blocks": [0]}', 0.6),
    ('TrimVocabulary', 1, '{"stage": "trim_vocabulary"}', 0.6),
    ('IndexOptimization', 1, NULL, 0.05),
    ('CacheWarming', 1, NULL, 0.05),
    ('ReclaimSpace', 1, NULL, 0.1),
    ('ArchiveRevision', 1, NULL, 0.1)) v (hypothesis_type, level, change, risk);
END;
COMMENT ON FUNCTION hartonomous_internal.hypothesis_levels() IS
  'the kinds of hypotheses and how bold they can be: the change that each would try (NULL: it maintains the '
  'store), and '
  'its risk from 0 to 1';

-- Of all that were tried, how many were accepted; one of two, of which nothing is known. What a level has shown is half
-- as much evidence for the next one: if that cost nothing, a bolder one is worth a trial.
CREATE FUNCTION hartonomous_internal.success_rate(model integer, hypothesis_type text, level integer)
  RETURNS double precision
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (SELECT (coalesce(sum(e.weight) FILTER (WHERE e.state = 'accepted'), 0) + 1) / (coalesce(sum(e.weight), 0) + 2)
            FROM (SELECT h.state, 0.5::float8 ^ least(abs(h.level::float8 - level), 60) AS weight
                    FROM hartonomous.ooda_hypotheses h
                   WHERE h.model_id = model AND h.hypothesis_type = success_rate.hypothesis_type
                     AND h.state IN ('accepted', 'rolled_back')) e);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.success_rate(integer, text, integer) IS
  'how often hypotheses of a kind were accepted for a model, as (accepted + 1) / (tried + 2) (Laplace), where those of '
  'another level count half as much for each level of difference';

CREATE FUNCTION hartonomous_internal.indexes_at_fault(model integer) RETURNS TABLE (index_name regclass, fault text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250 ROWS 1
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  partition constant regclass := hartonomous_internal.live_partition(model);
BEGIN
  RETURN QUERY
    SELECT i.indexrelid::regclass, 'invalid'
      FROM pg_index i WHERE i.indrelid = partition AND NOT i.indisvalid
    UNION ALL
    -- An index of the parent that no index of the partition is attached to.
    SELECT i.indexrelid::regclass, 'missing'
      FROM pg_index i
     WHERE i.indrelid = 'hartonomous.tensor_atoms'::regclass AND NOT EXISTS (
       SELECT FROM pg_inherits h JOIN pg_index p ON p.indexrelid = h.inhrelid
        WHERE h.inhparent = i.indexrelid AND p.indrelid = partition);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.indexes_at_fault(integer) IS
  'indexes of the live atoms of a model that are invalid, and indexes of tensor_atoms that they do not have';

CREATE FUNCTION hartonomous_internal.activity_of(model integer, OUT live_rows bigint, OUT dead_rows bigint,
    OUT blocks bigint, OUT blocks_read bigint, OUT blocks_hit bigint)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  partition constant oid := hartonomous_internal.live_partition(model);
BEGIN
  live_rows := pg_stat_get_live_tuples(partition);
  dead_rows := pg_stat_get_dead_tuples(partition);
  blocks := pg_relation_size(partition) / current_setting('block_size')::bigint;
  blocks_read := pg_stat_get_blocks_fetched(partition) - pg_stat_get_blocks_hit(partition);
  blocks_hit := pg_stat_get_blocks_hit(partition);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.activity_of(integer) IS
  'what the cumulative statistics of PostgreSQL say of the live atoms of a model: rows, dead rows, and blocks of the '
  'table: how many there are, how many were read from disk, and how many were found in memory';

-- ---- hypotheses --------------------------------------------------------------------------------------------------

-- A rule of the original design: up to 1000 atoms are not worth pruning.
CREATE FUNCTION hartonomous_internal.possible_changes(model integer, calibration_set text)
  RETURNS TABLE (hypothesis_type text, level integer, change jsonb, risk double precision, bytes_saved bigint,
                 expected_loss double precision, rationale text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 5
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  live constant integer := hartonomous_internal.current_revision(model);
  own constant boolean := calibration_set IS NOT NULL AND hartonomous_internal.has_grams(model, calibration_set);
  calibrated constant integer := hartonomous_internal.gram_revision(model, calibration_set);
  calibration constant jsonb := CASE
    WHEN own THEN jsonb_build_object('calibration_set', calibration_set)
    WHEN calibrated IS NOT NULL
    THEN jsonb_build_object('calibration_set', calibration_set, 'calibration_revision', calibrated) ELSE '{}' END;
  few_atoms constant boolean := (SELECT r.atom_count <= 1000 FROM hartonomous.model_revisions r
                                  WHERE r.revision_id = live);
  possible record;
  expected record;
BEGIN
  FOR possible IN
    SELECT l.hypothesis_type, l.level, l.risk,
           hartonomous_internal.whole_blocks(model, l.change)
             || CASE WHEN l.hypothesis_type = 'TrimVocabulary'
                            THEN jsonb_build_object('calibration_set', calibration_set)
                            WHEN l.hypothesis_type IN ('QuantizeModel', 'SvdCompress')
                              OR own AND l.hypothesis_type IN ('RemoveNeurons', 'RemoveBlock') THEN calibration
                            ELSE '{}' END AS change
      FROM hartonomous_internal.hypothesis_levels() l
     WHERE l.change IS NOT NULL AND NOT (l.hypothesis_type = 'PruneModel' AND coalesce(few_atoms, true))
       AND NOT (l.hypothesis_type = 'TrimVocabulary' AND calibration_set IS NULL)
       AND NOT EXISTS (SELECT FROM hartonomous.ooda_hypotheses h
                        WHERE h.model_id = model AND h.revision_id = live AND h.hypothesis_type = l.hypothesis_type
                          AND h.level = l.level AND h.state NOT IN ('proposed', 'obsolete'))
     ORDER BY l.hypothesis_type, l.level
  LOOP
    expected := hartonomous_internal.expected_of_change(model, possible.change,
                  CASE WHEN own THEN calibration_set END);
    CONTINUE WHEN expected.tensors = 0 OR coalesce(expected.bytes_saved, 0) <= 0;
    hypothesis_type := possible.hypothesis_type;
    level := possible.level;
    change := possible.change;
    bytes_saved := expected.bytes_saved;
    expected_loss := expected.expected_loss;
    risk := possible.risk;
    rationale := format('%s: %s would take %s less', hartonomous_internal.change_text(change),
      hartonomous_internal.counted(expected.tensors, 'tensor'), hartonomous.human_bytes(bytes_saved));
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.possible_changes(integer, text) IS
  'the changes of a model that would save bytes and were not tried in this state';

CREATE FUNCTION hartonomous_internal.possible_maintenance(model integer, keep_last integer, max_age interval)
  RETURNS TABLE (hypothesis_type text, level integer, risk double precision, bytes_saved bigint, rationale text,
                 shown text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 4
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  partition constant regclass := hartonomous_internal.live_partition(model);
  activity constant record := hartonomous_internal.activity_of(model);
BEGIN
  RETURN QUERY
    SELECT l.hypothesis_type, l.level, l.risk, v.bytes, v.rationale, v.shown
      FROM hartonomous_internal.hypothesis_levels() l JOIN (
        SELECT 'IndexOptimization' AS kind, 0::bigint AS bytes,
               format('invalid or missing: %s of %s', hartonomous_internal.counted(count(*), 'index', 'indexes'),
                      partition) AS rationale,
               format('REINDEX TABLE %s;', partition) AS shown
          FROM hartonomous_internal.indexes_at_fault(model) HAVING count(*) > 0
        UNION ALL
        SELECT 'CacheWarming', 0, format('%s of %s blocks were read from disk when they were asked for',
                 activity.blocks_read, activity.blocks_read + activity.blocks_hit),
               format('SELECT pg_prewarm(%L);', partition)
         WHERE activity.blocks_read > activity.blocks_hit
           AND hartonomous_internal.extension_schema('pg_prewarm') IS NOT NULL
        UNION ALL
        SELECT 'ReclaimSpace', pg_relation_size(partition) * activity.dead_rows
                               / greatest(activity.live_rows + activity.dead_rows, 1),
               format('%s of %s rows of %s are dead', activity.dead_rows, activity.live_rows + activity.dead_rows,
                      partition), format('VACUUM FULL %s;', partition)
         WHERE activity.dead_rows > 0.2 * activity.live_rows
        UNION ALL
        -- An archive takes about the bytes of the weights.
        SELECT 'ArchiveRevision', sum(greatest(b.bytes - r.logical_bytes, 0))::bigint,
               format('past retention: %s', hartonomous_internal.counted(count(*), 'backup')),
               string_agg(format('CALL hartonomous.archive_revision(%s);', b.revision_id), ' ' ORDER BY b.revision_id)
          FROM hartonomous_internal.expired_backups(model, keep_last, max_age) b
          JOIN hartonomous.model_revisions r ON r.revision_id = b.revision_id HAVING count(*) > 0) v
        ON v.kind = l.hypothesis_type;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.possible_maintenance(integer, integer, interval) IS
  'what would be good for the tables in which a model is stored, and changes no weight';

CREATE FUNCTION hartonomous_internal.shown_sql(model integer, change jsonb) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (
    SELECT format('CALL hartonomous.%I(%L%s);', s.procedure, model::hartonomous.regmodel,
             (SELECT string_agg(format(', %I => %s', a.key,
                       CASE jsonb_typeof(a.value) WHEN 'string' THEN quote_literal(a.value #>> '{}')
                                                  WHEN 'array' THEN quote_literal(translate(a.value::text, '[]', '{}'))
                                                  ELSE a.value::text END), '' ORDER BY a.key)
                FROM jsonb_each(change - 'stage') a (key, value)))
      FROM hartonomous_internal.change_stages() s WHERE s.stage = change ->> 'stage');
END
$$;
COMMENT ON FUNCTION hartonomous_internal.shown_sql(integer, jsonb) IS
  'the call by which a user would make a change; only shown, never executed';

-- A change that fails would otherwise be tried again by each cycle.
CREATE FUNCTION hartonomous_internal.give_up_hypothesis(hypothesis bigint) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  acting record;
BEGIN
  SELECT h.model_id, h.job_id INTO acting FROM hartonomous.ooda_hypotheses h
   WHERE h.hypothesis_id = hypothesis AND h.state = 'acting';
  IF NOT FOUND THEN
    RETURN;
  END IF;
  PERFORM hartonomous_internal.lock_model(acting.model_id, true);
  PERFORM hartonomous_internal.abandon_trials(j.job_id)
     FROM hartonomous.compression_jobs j
    WHERE j.job_id = acting.job_id AND j.model_id = acting.model_id AND j.state = 'running';
END
$$;
COMMENT ON FUNCTION hartonomous_internal.give_up_hypothesis(bigint) IS
  'rolls back what a stopped call did for a hypothesis on which it was acting; does nothing for others; 55P03 if a '
  'session is changing the model';

CREATE FUNCTION hartonomous_internal.decide_hypothesis(hypothesis bigint, decision text) RETURNS void
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  present text;
BEGIN
  IF decision = 'rejected' THEN
    PERFORM hartonomous_internal.give_up_hypothesis(hypothesis);
  END IF;
  UPDATE hartonomous.ooda_hypotheses h SET state = decision
   WHERE h.hypothesis_id = hypothesis
     AND (h.state IN ('proposed', 'approved') OR h.state = 'acting' AND decision = 'rejected');
  IF FOUND THEN
    RETURN;
  END IF;
  SELECT h.state INTO present FROM hartonomous.ooda_hypotheses h WHERE h.hypothesis_id = hypothesis;
  PERFORM hartonomous_internal.raise_error(CASE WHEN present IS NULL THEN '42704' ELSE '55000' END,
    format(CASE WHEN present IS NULL THEN 'hypothesis %s does not exist' ELSE 'hypothesis %s is %s' END,
           coalesce(hypothesis::text, 'NULL'), present),
    hint => 'SELECT * FROM hartonomous.ooda_hypotheses WHERE state = ''proposed''; shows those to decide on.');
END
$$;
COMMENT ON FUNCTION hartonomous_internal.decide_hypothesis(bigint, text) IS
  'approves or rejects a hypothesis; 42704 if there is none with that number, 55000 if it is not open any more';

-- ---- observations ------------------------------------------------------------------------------------------------

CREATE FUNCTION hartonomous_internal.importance_distribution(model integer)
  RETURNS TABLE (topic text, subject text, value numeric, unit text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 5
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  shares constant double precision[] := ARRAY[0.05, 0.2, 0.5, 0.8, 0.95];
  percentiles double precision[];
BEGIN
  -- Queries the parent table because readers have rights on that only.
  EXECUTE hartonomous_internal.on_atoms_of(model, 'SELECT percentile_cont($2) WITHIN GROUP (ORDER BY a.importance_score)
             FROM hartonomous.tensor_atoms a JOIN hartonomous.model_layers l USING (layer_id)
            WHERE a.model_id = $1 AND hartonomous_internal.is_matrix(l.tensor_shape)')
    INTO percentiles USING model, shares;
  RETURN QUERY
    SELECT 'importance', format('%s %% of the atoms of matrices are below', 100 * u.share),
           round(u.percentile::numeric, 3), 'importance'
      FROM unnest(shares, percentiles) u (share, percentile) WHERE u.percentile IS NOT NULL ORDER BY u.share;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.importance_distribution(integer) IS
  'percentiles of the importance of atoms, as observations';

CREATE FUNCTION hartonomous_internal.unused_atoms(model integer) RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  unused bigint;
BEGIN
  IF EXISTS (SELECT FROM hartonomous.atom_usage_stats s WHERE s.model_id = model) THEN
    EXECUTE hartonomous_internal.on_atoms_of(model,
      'SELECT count(*) FROM hartonomous.tensor_atoms a JOIN hartonomous.model_layers l USING (layer_id)
              WHERE a.model_id = $1 AND hartonomous_internal.is_matrix(l.tensor_shape) AND NOT EXISTS (
                SELECT FROM hartonomous.atom_usage_stats s
                 WHERE s.model_id = $1 AND s.tensor_atom_id = a.tensor_atom_id AND s.usage_count > 0)')
      INTO unused USING model;
  END IF;
  RETURN unused;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.unused_atoms(integer) IS
  'how many atoms of matrices took part in no text of record_usage(); NULL if none was recorded';

-- Two measurements of one revision on one text agree to many digits, unless somebody has changed its atoms.
CREATE FUNCTION hartonomous_internal.drift(model integer)
  RETURNS TABLE (topic text, subject text, value numeric, unit text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 1
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT 'drift', format('perplexity of revision %s on "%s" since it was first measured', d.revision_id,
                           d.validation_set), round((100 * (d.last_one / d.first_one - 1))::numeric, 4), '%'
      FROM (SELECT DISTINCT v.revision_id, v.validation_set,
                   first_value(v.perplexity) OVER w AS first_one, last_value(v.perplexity) OVER w AS last_one
              FROM hartonomous.validation_results v
             WHERE v.model_id = model AND v.perplexity > 0 AND v.perplexity < 'Infinity'
               AND v.revision_id = hartonomous_internal.current_revision(model)
            WINDOW w AS (PARTITION BY v.revision_id, v.validation_set, v.text_sha256, v.n_ctx ORDER BY v.result_id
                         ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)) d
     WHERE abs(d.last_one / d.first_one - 1) > 1e-6;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.drift(integer) IS
  'by how much the perplexity of the live revision has changed between measurements on the same text, as observations: '
  'somebody has changed its atoms';
