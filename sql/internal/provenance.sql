-- Provenance: how a state of a model was made, as far back as is known. What is here of it is derived from revisions,
-- runs and results. What came before is in the file that was imported, if it has provenance, or with a student whose
-- parent was deleted. Nothing of that is trusted: it may have any shape.

CREATE TYPE hartonomous_internal.lineage_state AS (model_name text, revision_id integer, stage text, parameters jsonb,
  bytes bigint, bits_per_weight numeric, metrics jsonb, calibration_texts jsonb, validation_texts jsonb,
  seconds double precision, extension_version text, created_at timestamptz, in_store boolean);

CREATE FUNCTION hartonomous_internal.provenance_prefix() RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN 'hartonomous.';
COMMENT ON FUNCTION hartonomous_internal.provenance_prefix() IS
  'with what the names of all keys of provenance begin, in files of either container';

CREATE FUNCTION hartonomous_internal.array_or_empty(value jsonb) RETURNS jsonb
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN CASE WHEN jsonb_typeof(value) = 'array' THEN value ELSE '[]' END;
COMMENT ON FUNCTION hartonomous_internal.array_or_empty(jsonb) IS 'a value if it is an array, else an empty array';

CREATE FUNCTION hartonomous_internal.array_from_text(text text) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  value jsonb;
BEGIN
  value := text::jsonb;  -- not as an argument, which would be computed twice when the function is inlined
  RETURN hartonomous_internal.array_or_empty(value);
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
  RETURN '[]';
END
$$;
COMMENT ON FUNCTION hartonomous_internal.array_from_text(text) IS
  'a text as a JSON array; an empty array if it is none, or NULL';

CREATE FUNCTION hartonomous_internal.recorded_state(entry jsonb) RETURNS hartonomous_internal.lineage_state
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  state hartonomous_internal.lineage_state;
BEGIN
  state := jsonb_populate_record(NULL::hartonomous_internal.lineage_state, entry);
  state.in_store := false;
  RETURN state;
EXCEPTION WHEN data_exception THEN
  RETURN ROW(NULL, NULL, NULL, entry, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
             false)::hartonomous_internal.lineage_state;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.recorded_state(jsonb) IS
  'an element of a recorded lineage; what cannot be one becomes the parameters of a state of which nothing '
  'else is known';

CREATE FUNCTION hartonomous_internal.recorded_history(model integer) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  metadata jsonb := (SELECT m.metadata FROM hartonomous.models m WHERE m.model_id = model);
  keys jsonb;
BEGIN
  IF metadata ->> 'format' = 'safetensors' THEN
    keys := (metadata ->> 'header')::jsonb -> '__metadata__';
  ELSIF jsonb_typeof(metadata -> 'kv') = 'array' THEN
    SELECT jsonb_object_agg(e.kv ->> 'key', e.kv -> 'value') INTO keys
      FROM jsonb_array_elements(metadata -> 'kv') e (kv)
     WHERE e.kv ->> 'key' IN ('hartonomous.lineage', 'hartonomous.recipe');
  END IF;
  RETURN jsonb_build_object('lineage', hartonomous_internal.array_from_text(keys ->> 'hartonomous.lineage'),
                            'recipe', hartonomous_internal.array_from_text(keys ->> 'hartonomous.recipe'));
-- The header of a safetensors file may contain what jsonb cannot.
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
  RETURN '{"lineage": [], "recipe": []}';
END
$$;
COMMENT ON FUNCTION hartonomous_internal.recorded_history(integer) IS
  'the lineage and the recipe that the file had from which a model was imported: two arrays, empty if there were none';

CREATE FUNCTION hartonomous_internal.history_before(revision integer) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (
    SELECT jsonb_build_object('lineage', hartonomous_internal.array_or_empty(h.history -> 'lineage'),
                              'recipe', hartonomous_internal.array_or_empty(h.history -> 'recipe'))
      FROM (SELECT coalesce(r.history_of_parent, hartonomous_internal.recorded_history(r.model_id)) AS history
              FROM hartonomous_internal.ancestors_of(revision) a
              JOIN hartonomous.model_revisions r ON r.revision_id = a.revision_id
             ORDER BY a.distance DESC LIMIT 1) h);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.history_before(integer) IS
  'what is recorded of the time before the oldest ancestor of a revision that is in the store: two arrays, lineage and '
  'recipe; NULL if there is no such revision';

-- Of several results on a text the newest counts. Names of sets and of evaluators are the keys.
CREATE FUNCTION hartonomous_internal.results_of(model integer, revision integer, OUT metrics jsonb,
    OUT validation_texts jsonb)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  SELECT coalesce(jsonb_object_agg(n.name, jsonb_strip_nulls(jsonb_build_object('perplexity', n.perplexity,
           'perplexity_error', n.perplexity_error, 'perplexity_ratio', n.perplexity_ratio,
           'perplexity_ratio_error', n.perplexity_ratio_error, 'kl_divergence', n.kl_divergence,
           'kl_divergence_error', n.kl_divergence_error, 'same_top', n.same_top, 'score', n.score, 'n_ctx', n.n_ctx,
           'tokens', n.tokens, 'baseline_revision', n.baseline_revision_id))), '{}'),
         coalesce(jsonb_object_agg(n.name, encode(n.text_sha256, 'hex')) FILTER (WHERE n.text_sha256 IS NOT NULL), '{}')
    INTO metrics, validation_texts
    FROM (SELECT DISTINCT ON (1) coalesce(v.validation_set, v.evaluator) AS name, v.perplexity, v.perplexity_error,
                 v.perplexity_ratio, v.perplexity_ratio_error, v.kl_divergence, v.kl_divergence_error, v.same_top,
                 v.score, v.n_ctx, v.tokens, v.baseline_revision_id, v.text_sha256
            FROM hartonomous.validation_results v
           WHERE v.model_id = model AND v.revision_id = revision
             AND coalesce(v.validation_set, v.evaluator) IS NOT NULL
           ORDER BY 1, v.result_id DESC) n;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.results_of(integer, integer) IS
  'the newest result of a revision on each validation set and by each evaluator, and the SHA-256 of the texts';

CREATE FUNCTION hartonomous_internal.lineage_of(revision integer, history_before jsonb)
  RETURNS SETOF hartonomous_internal.lineage_state
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT s.* FROM jsonb_array_elements(history_before -> 'lineage')
             WITH ORDINALITY e (entry, n)
      CROSS JOIN LATERAL hartonomous_internal.recorded_state(e.entry) s ORDER BY e.n;
  RETURN QUERY
    SELECT m.model_name, r.revision_id, r.stage,
           r.parameters || CASE WHEN r.kind = 'import' AND m.source_sha256 IS NOT NULL
             THEN jsonb_build_object('source_sha256', encode(m.source_sha256, 'hex')) ELSE '{}' END,
           r.logical_bytes,
           round(r.logical_bytes * 8.0 / nullif(coalesce(t.parameter_count, m.parameter_count), 0), 2),
           r.metrics || v.metrics,
           r.calibration_texts, v.validation_texts, r.seconds, r.extension_version, r.created_at, true
      FROM hartonomous_internal.ancestors_of(revision) a
      JOIN hartonomous.model_revisions r ON r.revision_id = a.revision_id
      JOIN hartonomous.models m ON m.model_id = r.model_id
      LEFT JOIN hartonomous.model_structures t ON t.structure_id = r.structure_id
      CROSS JOIN LATERAL hartonomous_internal.results_of(r.model_id, r.revision_id) v
     ORDER BY a.distance DESC;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.lineage_of(integer, jsonb) IS
  'the states of model_lineage() up to a revision, oldest first, with those of history_before()';

-- Operations name their tensors and no revision, so that they can be applied to other models, too.
CREATE FUNCTION hartonomous_internal.change_of_plan(name text, plan hartonomous.tensor_plan[]) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN jsonb_build_object('stage', 'plan', 'name', name, 'operations', (
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('layer_name', p.layer_name, 'operation', p.operation,
             'arguments', p.arguments - 'calibration_revision',
             'details', p.details - ARRAY['present_format', 'requantizes'])) ORDER BY p.n), '[]')
      FROM unnest(plan) WITH ORDINALITY p (layer_id, layer_name, operation, arguments, atoms_before, atoms_after,
           bytes_before, bytes_after, reason, details, n)
     WHERE p.operation <> 'copy'));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.change_of_plan(text, hartonomous.tensor_plan[]) IS
  'a plan as a change: its operations, by the names of their tensors';

-- The steps of a run are kept, so that its plan can be read from them.
CREATE FUNCTION hartonomous_internal.change_of_revision(revision integer) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  made record;
BEGIN
  SELECT r.stage, r.parameters INTO STRICT made FROM hartonomous.model_revisions r WHERE r.revision_id = revision;
  IF NOT made.parameters ? 'plan_sha256' THEN
    RETURN jsonb_build_object('stage', made.stage)
           || CASE WHEN jsonb_typeof(made.parameters) = 'object' THEN made.parameters - 'calibration_revision'
           ELSE '{}' END
           || CASE WHEN made.parameters ? 'residual_ratio' THEN '{"residual": true}'::jsonb ELSE '{}' END;
  END IF;
  RETURN hartonomous_internal.change_of_plan(made.stage, ARRAY(
    SELECT ROW(s.layer_id, l.layer_name, s.operation, s.arguments, NULL, NULL, NULL, NULL, NULL,
               NULL)::hartonomous.tensor_plan
      FROM hartonomous.compression_runs c JOIN hartonomous.compression_steps s ON s.run_id = c.run_id
      JOIN hartonomous_internal.layers_of_revision(revision) l ON l.layer_id = s.layer_id
     -- Runs that archived or restored it did not make it.
     WHERE c.revision_id = change_of_revision.revision AND c.state = 'completed'
       AND s.operation <> ALL (ARRAY['archive', 'restore']) ORDER BY l.position));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.change_of_revision(integer) IS
  'the change that made a revision of its parent';

CREATE FUNCTION hartonomous_internal.history_of(revision integer) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  before constant jsonb := hartonomous_internal.history_before(revision);
BEGIN
  RETURN jsonb_build_object(
    'lineage', (SELECT coalesce(jsonb_agg(to_jsonb(l.state) - 'in_store' ORDER BY l.n), '[]')
                  FROM (SELECT s AS state, row_number() OVER () AS n
                    FROM hartonomous_internal.lineage_of(revision, before) s) l),
    'recipe', (before -> 'recipe') || (
      SELECT coalesce(jsonb_agg(hartonomous_internal.change_of_revision(r.revision_id)
                                - ARRAY['parent_model', 'parent_revision'] ORDER BY a.distance DESC), '[]')
        FROM hartonomous_internal.ancestors_of(revision) a
        JOIN hartonomous.model_revisions r ON r.revision_id = a.revision_id
       WHERE r.kind IN ('rewrite', 'in_place') OR r.stage = 'student'));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.history_of(integer) IS
  'how a revision was made, as it is recorded outside of the store: two arrays, lineage (the states up to it) '
  'and recipe '
  '(the changes that lead to it from the file that was imported first)';

CREATE FUNCTION hartonomous_internal.text_hashes(lineage jsonb, kind text) RETURNS jsonb
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 250
BEGIN ATOMIC
  SELECT coalesce(jsonb_agg(DISTINCT t.hash), '[]')
    FROM jsonb_array_elements(lineage) s (state)
    CROSS JOIN jsonb_each_text(CASE
      WHEN jsonb_typeof(s.state -> kind) = 'object' THEN s.state -> kind END) t (name, hash)
   WHERE t.hash ~ '^[0-9a-f]{64}$';
END;
COMMENT ON FUNCTION hartonomous_internal.text_hashes(jsonb, text) IS
  'the SHA-256 of all calibration_texts or validation_texts of a lineage, each once, as an array';

CREATE FUNCTION hartonomous_internal.provenance_of(revision integer) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  history constant jsonb := hartonomous_internal.history_of(revision);
BEGIN
  RETURN (
    SELECT jsonb_object_agg(v.key, v.value)
      FROM (VALUES ('version', to_jsonb(hartonomous.version())),
              ('source.sha256', (
                 SELECT s.state -> 'parameters' -> 'source_sha256'
                   FROM jsonb_array_elements(history -> 'lineage') WITH ORDINALITY s (state, n)
                  WHERE s.state -> 'parameters' ->> 'source_sha256' ~ '^[0-9a-f]{64}$' ORDER BY s.n LIMIT 1)),
              ('recipe', history -> 'recipe'),
              ('calibration.sha256', hartonomous_internal.text_hashes(history -> 'lineage', 'calibration_texts')),
              ('validation.sha256', hartonomous_internal.text_hashes(history -> 'lineage', 'validation_texts')),
              ('metrics', history -> 'lineage' -> -1 -> 'metrics'), ('lineage', history -> 'lineage')) v (key, value)
     WHERE v.value NOT IN ('[]', '{}', 'null'));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.provenance_of(integer) IS
  'what an exported file says of the revision in it, by the names of its keys without their prefix: docs/manual/'
  'provenance.md; what there is none of is left out';

CREATE FUNCTION hartonomous_internal.gguf_keys(provenance jsonb) RETURNS jsonb
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 250
BEGIN ATOMIC
  SELECT coalesce(jsonb_agg(
           jsonb_build_object('key', hartonomous_internal.provenance_prefix() || p.key)
           || CASE WHEN p.key IN ('calibration.sha256', 'validation.sha256')
                   THEN jsonb_build_object('type', 'array', 'element', 'string', 'value', p.value)
                   ELSE jsonb_build_object('type', 'string', 'value', p.value #>> '{}') END ORDER BY p.key), '[]')
    FROM jsonb_each(provenance) p (key, value);
END;
COMMENT ON FUNCTION hartonomous_internal.gguf_keys(jsonb) IS
  'the value of provenance_of() as metadata keys of a GGUF file: hashes as arrays of strings, other values that are no '
  'texts as JSON';

CREATE FUNCTION hartonomous_internal.is_as_imported(revision integer) RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN NOT EXISTS (
    SELECT FROM hartonomous_internal.ancestors_of(revision) a
      JOIN hartonomous.model_revisions r ON r.revision_id = a.revision_id
     WHERE r.kind IN ('rewrite', 'in_place') OR r.stage = 'student');
END
$$;
COMMENT ON FUNCTION hartonomous_internal.is_as_imported(integer) IS
  'whether no stage lies between the import of a model and a revision';

-- Readers of the atoms must not queue behind a deletion that waits for a row.
CREATE FUNCTION hartonomous_internal.leave_history(model integer) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET lock_timeout = '1s'
AS $$
#variable_conflict use_variable
BEGIN
  UPDATE hartonomous.model_revisions r
     SET history_of_parent = hartonomous_internal.history_of(before.revision_id)
    FROM hartonomous.models s, hartonomous.model_revisions before
   WHERE s.parent_model_id = model AND r.model_id = s.model_id AND before.model_id = model
     AND before.revision_id = hartonomous_internal.parent_of_revision(r.parent_revision_id, r.parameters);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.leave_history(integer) IS
  'stores with the students of a model how the state was made from which they were: it is about to be '
  'deleted; 55P03 if '
  'one of their revisions stays locked';
