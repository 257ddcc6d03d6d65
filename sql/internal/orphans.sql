-- What nothing needs: partitions left behind when a row of models was deleted by hand instead of by delete_model(),
-- and rows that foreign keys would have deleted if they had not been disabled.

CREATE FUNCTION hartonomous_internal.orphaned_partitions() RETURNS SETOF regclass
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT p.oid::regclass
      FROM (SELECT c.oid, regexp_match(c.relname, '^tensor_atoms_m([0-9]{1,10})_r([0-9]{1,10})$')::bigint[] AS numbers
              FROM pg_class c WHERE c.relnamespace = 'hartonomous_partitions'::regnamespace AND c.relkind = 'r') p
     WHERE p.numbers IS NOT NULL
       AND NOT EXISTS (SELECT FROM hartonomous.model_revisions r JOIN hartonomous.models m USING (model_id)
                        WHERE r.model_id = p.numbers[1] AND r.revision_id = p.numbers[2])
     ORDER BY p.numbers;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.orphaned_partitions() IS
  'partitions of atoms whose model or revision no longer exists';

CREATE FUNCTION hartonomous_internal.orphaned_rows() RETURNS TABLE (relation text, condition text)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 50 ROWS 10
BEGIN ATOMIC
  SELECT f.relation, 'NOT hartonomous_internal.partition_exists(t.model_id, t.revision_id) '
         'AND NOT hartonomous_internal.is_archived(t.model_id, t.revision_id) OR NOT EXISTS '
         '(SELECT FROM hartonomous.model_revisions r WHERE r.model_id = t.model_id AND r.revision_id = t.revision_id)'
    FROM unnest(hartonomous_internal.form_tables()) f (relation)
  UNION ALL
  (SELECT t.relation,
    coalesce(t.condition, 'NOT EXISTS (SELECT FROM hartonomous.models m WHERE m.model_id = t.model_id)')
    FROM (VALUES
      (2, 'compression_steps', 'NOT EXISTS (SELECT FROM hartonomous.compression_runs r WHERE r.run_id = t.run_id)'),
      (1, 'compression_trials', 'NOT EXISTS (SELECT FROM hartonomous.compression_jobs j WHERE j.job_id = t.job_id)'),
      (1, 'tensor_atoms_archive', 'NOT hartonomous_internal.is_archived(t.model_id, t.revision_id) AND NOT EXISTS ('
         'SELECT FROM hartonomous.model_revisions r JOIN hartonomous.compression_runs c '
         'ON c.revision_id = r.base_revision_id AND c.state = ''running'' WHERE r.revision_id = t.revision_id)'),
      (2, 'archived_weights', 'NOT EXISTS (SELECT FROM hartonomous.tensor_atoms_archive c '
         'WHERE c.weights_hash = t.weights_hash)'),
      (1, 'ooda_hypotheses', NULL), (2, 'compression_jobs', NULL), (3, 'compression_runs', NULL),
      (4, 'validation_results', NULL),
      (5, 'calibration_grams', NULL),
      (6, 'calibration_stats', NULL), (7, 'sensitivities', NULL), (8, 'sensitivity_probes', NULL),
      (9, 'svd_spectra', NULL), (10, 'atom_usage_stats', NULL), (11, 'model_layers', NULL),
      (12, 'model_revisions', NULL), (13, 'model_structures', NULL)
    ) t (n, relation, condition)
   ORDER BY t.n);
END;
COMMENT ON FUNCTION hartonomous_internal.orphaned_rows() IS
  'one row per table of the store, tables that refer to others first: the condition (t is the table) under which the '
  'model or run of a row no longer exists';

CREATE FUNCTION hartonomous_internal.unfinished_revisions()
  RETURNS TABLE (model_id integer, revision_id integer, bytes bigint)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT v.model_id, v.revision_id,
           pg_total_relation_size(to_regclass(format('hartonomous_partitions.%I',
             hartonomous_internal.atoms_partition(v.model_id, v.revision_id))))
      FROM hartonomous.model_revisions v
     WHERE v.state = 'building' AND NOT EXISTS (SELECT FROM hartonomous.compression_runs r
                                                 WHERE r.revision_id = v.revision_id AND r.state = 'running')
     ORDER BY v.revision_id;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.unfinished_revisions() IS
  'revisions that are being made, but by no run that could be resumed, with the bytes of their partition on disk';
