-- Pruning deletes the least important atoms of a tensor; missing atoms are read as zeros.

-- Cancel, crash and concurrent calls: see run_stage().
CREATE PROCEDURE hartonomous.prune_by_importance(model hartonomous.regmodel, keep_ratio double precision DEFAULT NULL,
    threshold real DEFAULT NULL, scope text DEFAULT 'tensor', layer_pattern text DEFAULT '%',
    dry_run boolean DEFAULT false, method text DEFAULT 'auto', include_vectors boolean DEFAULT false,
    include_embeddings boolean DEFAULT false, keep_ratio_of text DEFAULT 'imported', refit boolean DEFAULT false,
    calibration_set text DEFAULT NULL, calibration_revision integer DEFAULT NULL,
    damping double precision DEFAULT NULL, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
  CALL hartonomous_internal.run_stage(model, 'prune_by_importance',
    hartonomous_internal.prune_parameters(model, keep_ratio, threshold, scope, layer_pattern, dry_run, method,
      include_vectors, include_embeddings, keep_ratio_of, refit, calibration_set, calibration_revision, damping),
    nowait, method, dry_run);
END
$$;
COMMENT ON PROCEDURE hartonomous.prune_by_importance(hartonomous.regmodel, double precision, real, text, text, boolean,
  text, boolean, boolean, text, boolean, text, integer, double precision, boolean) IS
  'removes the least important atoms: all but a share of those imported (keep_ratio; with keep_ratio_of => ''present'','
  ' of the current ones) or those below a threshold, ranked within each tensor or over the whole model; skips '
  'embeddings and output matrix unless include_embeddings; in place if few are removed, else by rewriting; with refit '
  'the weights that stay in a row are fitted by least squares to the outputs before, by the Gram matrices of a '
  'calibration set (NULL: the only one; of the live revision, unless calibration_revision is given), to whose diagonal '
  'the share damping (default 0.01) of its mean is added; rollback_model() undoes it; 22023 if arguments contradict '
  'each other, or no tensor can be refitted, 55000 if there are no Gram matrices';

-- Cancel, crash and concurrent calls: see run_stage().
CREATE PROCEDURE hartonomous.prune_region(model hartonomous.regmodel, region real[], keep_inside boolean DEFAULT false,
    layer_pattern text DEFAULT '%', dry_run boolean DEFAULT false, method text DEFAULT 'auto',
    include_vectors boolean DEFAULT false, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
  CALL hartonomous_internal.run_stage(model, 'prune_region',
    hartonomous_internal.region_parameters(region, keep_inside, layer_pattern, dry_run, method, include_vectors),
    nowait, method, dry_run);
END
$$;
COMMENT ON PROCEDURE hartonomous.prune_region(hartonomous.regmodel, real[], boolean, text, boolean, text, boolean,
  boolean) IS
  'removes the atoms of matrices that lie in a region (see region()) or, with keep_inside, those outside; in place if '
  'few are removed, else by rewriting; rollback_model() undoes it; 22023 if the region is invalid or arguments '
  'contradict each other';
