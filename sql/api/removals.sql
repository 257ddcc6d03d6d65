-- Stages that remove parts of a model: the same as the functions of structures.sql and students.sql, but of the model
-- itself, as a revision that can be rolled back. The implementation is in internal/removals.sql.

-- Cancel, crash and concurrent calls: see run_stage().
CREATE PROCEDURE hartonomous.remove_neurons(model hartonomous.regmodel, keep_ratio double precision,
    multiple integer DEFAULT NULL, calibration_set text DEFAULT NULL, refit boolean DEFAULT NULL,
    damping double precision DEFAULT 0.01, dry_run boolean DEFAULT false, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
  CALL hartonomous_internal.run_stage(model, 'remove_neurons',
    hartonomous_internal.neuron_parameters(model, keep_ratio, multiple, calibration_set, refit, damping, dry_run),
    nowait, 'rewrite', dry_run);
END
$$;
COMMENT ON PROCEDURE hartonomous.remove_neurons(hartonomous.regmodel, double precision, integer, text, boolean,
  double precision, boolean, boolean) IS
  'leaves a model the given share of the neurons of its feed-forward networks, as extract_by_neurons() leaves them to '
  'a student: those with the highest structure_scores(), as many in every block, and ffn_down refitted by least '
  'squares where there are Gram matrices of its input, unless refit is false; shapes and hyperparameters belong to the '
  'revision; rollback_model() undoes it; errors as extract_by_neurons(), 22004 if dry_run is NULL';

-- Cancel, crash and concurrent calls: see run_stage().
CREATE PROCEDURE hartonomous.remove_blocks(model hartonomous.regmodel, count integer DEFAULT NULL,
    blocks integer[] DEFAULT NULL, protected_blocks integer[] DEFAULT NULL, calibration_set text DEFAULT NULL,
    n_ctx integer DEFAULT NULL, repair boolean DEFAULT NULL, damping double precision DEFAULT 0.01,
    dry_run boolean DEFAULT false, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
  CALL hartonomous_internal.run_stage(model, 'remove_blocks',
    hartonomous_internal.block_parameters(model, count, blocks, protected_blocks, calibration_set, n_ctx, repair,
                                          damping, dry_run),
    nowait, 'rewrite', dry_run);
END
$$;
COMMENT ON PROCEDURE hartonomous.remove_blocks(hartonomous.regmodel, integer, integer[], integer[], text, integer,
  boolean, double precision, boolean, boolean) IS
  'removes blocks of a model, the given ones or as many as count says (by default one): those with the least '
  'influence, by weights or measured on the text of a calibration set, as extract_by_layers() leaves them out of a '
  'student; the others are renumbered, and with a set those before gaps repaired, unless repair is false; '
  'rollback_model() undoes it; 22023 unless some blocks are left, 42704 if there is no such model or no set with a '
  'text; other errors as extract_by_layers()';

-- Cancel, crash and concurrent calls: see run_stage().
CREATE PROCEDURE hartonomous.trim_vocabulary(model hartonomous.regmodel, calibration_set text,
    dry_run boolean DEFAULT false, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
  CALL hartonomous_internal.run_stage(model, 'trim_vocabulary',
    hartonomous_internal.vocabulary_parameters(model, calibration_set, dry_run), nowait, 'rewrite', dry_run);
END
$$;
COMMENT ON PROCEDURE hartonomous.trim_vocabulary(hartonomous.regmodel, text, boolean, boolean) IS
  'removes the tokens that do not occur in the text of a calibration set, and their rows in the embedding and the '
  'output matrix, as extract_by_vocabulary() leaves them out of a student; the model gives that text the same pieces, '
  'and can encode any other text; rollback_model() undoes it; 42704 if there is no such model or no set with a text, '
  '22004 on NULL; other errors as extract_by_vocabulary()';
