-- Parts of the store: its version, the comments on its tables, and functions used in its constraints.

CREATE FUNCTION hartonomous_internal.store_version() RETURNS integer
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN 2;
COMMENT ON FUNCTION hartonomous_internal.store_version() IS 'version of the table layout that this code works with';

CREATE FUNCTION hartonomous_internal.version_of_tables() RETURNS integer
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.version_of_tables() IS
  'version of the layout of the tables that there are, whoever may read them; NULL if there is no store, 0 '
  'if the table '
  'store does not tell';

CREATE FUNCTION hartonomous_internal.store_exists() RETURNS boolean
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  found integer := hartonomous_internal.version_of_tables();
BEGIN
  IF found <> hartonomous_internal.store_version() THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('the tables of the store have version %s, this version of the extension works with version %s', found,
        hartonomous_internal.store_version()),
      hint => CASE WHEN found < hartonomous_internal.store_version()
        THEN 'Ask a superuser to run: SELECT hartonomous.upgrade_store();'
        ELSE 'ALTER EXTENSION hartonomous UPDATE; or install the version that made the tables.' END);
  END IF;
  RETURN found IS NOT NULL;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.store_exists() IS
  'whether there is a store; 55000 if its tables are older or newer than this code';

-- IMMUTABLE although convert_to() is only STABLE: conversions can be redefined, but not that from UTF-8 to itself.
CREATE FUNCTION hartonomous_internal.text_sha256(text text) RETURNS bytea
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
  RETURN sha256(convert_to(text, 'UTF8'));
COMMENT ON FUNCTION hartonomous_internal.text_sha256(text) IS 'SHA-256 of a text in UTF-8';

CREATE FUNCTION hartonomous_internal.comment_store() RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  COMMENT ON TABLE hartonomous.store IS 'the version of the layout of these tables, in one row';
  COMMENT ON TABLE hartonomous.models IS 'one row per model';
  COMMENT ON COLUMN hartonomous.models.metadata IS
  'everything in the source file but the weights, in file order and with types, so that an export is lossless';
  COMMENT ON TABLE hartonomous.model_layers IS 'one row per tensor of a model';
  COMMENT ON COLUMN hartonomous.model_layers.layer_idx IS 'block of the tensor, -1 outside blocks';
  COMMENT ON COLUMN hartonomous.model_layers.tensor_shape IS 'row-major, rows first (the reverse of GGUF''s order)';
  COMMENT ON COLUMN hartonomous.model_layers.tensor_dtype IS 'format in the source file';
  COMMENT ON COLUMN hartonomous.model_layers.row_length IS 'number of weights in a row of the matrix';
  COMMENT ON COLUMN hartonomous.model_layers.atom_size IS
  'number of weights in an atom: a part of a row, or one or more whole rows. Part n of a row is atom row * parts + n '
  'with parts = ceil(row_length / atom_size); an atom of rows begins in row atom_sequence * (atom_size / row_length)';
  COMMENT ON COLUMN hartonomous.model_layers.position IS 'position in the source file, from 0';
  COMMENT ON COLUMN hartonomous.model_layers.weights_geometry IS 'envelope of the atoms in x and y';
  COMMENT ON TABLE hartonomous.tensor_atoms IS
  'one row per atom, a part of a matrix row or several whole ones; a missing row stands for zeros; one '
  'partition per model';
  COMMENT ON COLUMN hartonomous.tensor_atoms.revision_id IS 'the revision that wrote the partition';
  COMMENT ON COLUMN hartonomous.tensor_atoms.x IS 'first principal coordinate within the tensor, in [0, 100]';
  COMMENT ON COLUMN hartonomous.tensor_atoms.y IS 'second principal coordinate within the tensor, in [0, 100]';
  COMMENT ON COLUMN hartonomous.tensor_atoms.importance_score IS
  'logarithm of the root mean square, standardized within the tensor, in [-10, 10]; 10 for vectors';
  COMMENT ON COLUMN hartonomous.tensor_atoms.planned_format IS 'the format planned for the atom';
  COMMENT ON COLUMN hartonomous.tensor_atoms.content_hash IS 'SHA-256 of the blocks: sha256(atom_data::bytea)';
  COMMENT ON TABLE hartonomous.tensor_atoms_backup IS
    'atoms of revisions that are not live; one partition per revision';
  COMMENT ON TABLE hartonomous.model_structures IS
  'one row per set of tensors and hyperparameters that a model with removed neurons, blocks or tokens has had';
  COMMENT ON COLUMN hartonomous.model_structures.layers IS
  'the rows of model_layers; NULL while the structure is live, because they are there';
  COMMENT ON COLUMN hartonomous.model_structures.metadata IS
  'that of models; NULL while the structure is live, and when no revision with it is left';
  COMMENT ON TABLE hartonomous.tensor_atoms_archive IS
  'atoms of archived revisions, compressed; one row per chunk of a tensor''s atoms, its columns those of the atoms';
  COMMENT ON COLUMN hartonomous.tensor_atoms_archive.revision_id IS 'the revision that wrote the atoms';
  COMMENT ON COLUMN hartonomous.tensor_atoms_archive.atoms IS 'number of atoms in the chunk';
  COMMENT ON COLUMN hartonomous.tensor_atoms_archive.logical_bytes IS 'bytes of their weights';
  COMMENT ON COLUMN hartonomous.tensor_atoms_archive.atom_number IS
  'which atoms of the chunk of weights they have, from 1, compressed; NULL if all in order';
  COMMENT ON TABLE hartonomous.archived_weights IS
  'the weights of archived atoms, compressed; one row per chunk, stored once for all revisions and models '
  'that share it';
  COMMENT ON COLUMN hartonomous.archived_weights.weights_hash IS 'SHA-256 of atom_data';
  COMMENT ON COLUMN hartonomous.archived_weights.signature IS
  'hashes of some of the atoms, by which chunks with common atoms are found';
  COMMENT ON COLUMN hartonomous.archived_weights.atoms IS 'number of atoms in the chunk';
  COMMENT ON COLUMN hartonomous.archived_weights.logical_bytes IS 'bytes of their weights';
  COMMENT ON VIEW hartonomous.archived_tensor_atoms IS
  'the atoms of archived revisions, with the columns of tensor_atoms; decompresses the columns that a query names';
  COMMENT ON TABLE hartonomous.model_revisions IS 'one row per state of a model';
  COMMENT ON COLUMN hartonomous.model_revisions.structure_id IS
  'its tensors and hyperparameters; NULL if all revisions of the model have the same';
  COMMENT ON COLUMN hartonomous.model_revisions.archived_atoms IS
  'if the partition that the revision wrote is in the archive, the number of atoms that the archive has of '
  'it; else NULL';
  COMMENT ON COLUMN hartonomous.model_revisions.calibration_texts IS
  'the calibration sets by which it was made, with the SHA-256 of their texts (null: only the statistics '
  'were imported)';
  COMMENT ON COLUMN hartonomous.model_revisions.seconds IS
  'how long it took to make: of a run, the sum of its steps, without pauses in which it was stopped';
  COMMENT ON COLUMN hartonomous.model_revisions.extension_version IS 'the version of the extension that made it';
  COMMENT ON COLUMN hartonomous.model_revisions.history_of_parent IS
  'of a student whose parent was deleted: the lineage and recipe of the state from which it was made';
  COMMENT ON VIEW hartonomous.compression_backups IS
  'one row per revision that a model can be rolled back to, under the names of the original design';
  COMMENT ON TABLE hartonomous.svd_compressed_layers IS
  'one row per factored tensor: its weights are U diag(s) VT plus its atoms';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.revision_id IS
  'the revision that wrote the partition to which the factors belong';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.u_matrix IS 'rows x rank, row by row';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.s_vector IS 'singular values, descending';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.vt_matrix IS 'rank x columns, row by row';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.compression_ratio IS
  'original_bytes divided by the bytes of factors and residual atoms';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.relative_error IS
  'Frobenius norm of the residual divided by that of the matrix, measured when the factors were made';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.output_error IS
  'the same of the products with the inputs of the calibration set by which the tensor was whitened; NULL '
  'if it was not';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.explained_variance IS
  'share of the sum of squares that the factors keep: of the weights or, if it was whitened, of the outputs';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.dense_format IS
  'the format in which the product of the factors is exported';
  COMMENT ON TABLE hartonomous.compression_runs IS
  'one row per run of a stage; the same call resumes a running one that was stopped';
  COMMENT ON COLUMN hartonomous.compression_runs.state IS
  'running (or stopped, if nobody holds the lock of the model), completed, failed (ended by an error, and what it '
  'wrote is dropped), or abandoned';
  COMMENT ON COLUMN hartonomous.compression_runs.error_sqlstate IS
  'SQLSTATE of the error that ended a failed run, or stopped a running one';
  COMMENT ON COLUMN hartonomous.compression_runs.error_message IS 'message of that error';
  COMMENT ON TABLE hartonomous.compression_steps IS 'one row per tensor of a run';
  COMMENT ON COLUMN hartonomous.compression_steps.operation IS
  'the operation carried out on the tensor: copy, quantize, prune, encode_geometry or factor';
  COMMENT ON COLUMN hartonomous.compression_steps.arguments IS 'arguments of the operation: docs/manual/operations.md';
  COMMENT ON COLUMN hartonomous.compression_steps.outcome IS 'what was done with the tensor, in words';
  COMMENT ON TABLE hartonomous.validation_sets IS 'one row per text that models are measured on';
  COMMENT ON TABLE hartonomous.validation_results IS
  'one row per measurement of a revision: docs/manual/evaluate.md; columns named _error are standard errors';
  COMMENT ON COLUMN hartonomous.validation_results.text_sha256 IS 'hash of the text that was measured on';
  COMMENT ON COLUMN hartonomous.validation_results.kl_divergence IS
  'KL divergence from the predictions of the baseline revision in nats, mean over the tokens; kl_minimum, kl_median, '
  'kl_percentile_90 and so on, and kl_maximum are its quantiles over the tokens';
  COMMENT ON COLUMN hartonomous.validation_results.same_top IS
  'share of the tokens for which the revision and the baseline predict the same most probable token';
  COMMENT ON COLUMN hartonomous.validation_results.delta_p IS
  'change of the probability of the token that follows, revision minus baseline, mean over the tokens';
  COMMENT ON COLUMN hartonomous.validation_results.delta_p_rms IS 'root mean square of that change';
  COMMENT ON COLUMN hartonomous.validation_results.log_probability_correlation IS
  'Pearson correlation over the tokens of the log-probabilities of the revision and of the baseline';
  COMMENT ON COLUMN hartonomous.validation_results.score IS 'result of the evaluator, a function of the user''s own';
  COMMENT ON TABLE hartonomous.compression_jobs IS
  'one row per call that tries changes on a model and keeps what is good enough, such as compress_model()';
  COMMENT ON COLUMN hartonomous.compression_jobs.parameters IS 'the goal of the job';
  COMMENT ON COLUMN hartonomous.compression_jobs.original_revision_id IS 'the state in which the job found the model';
  COMMENT ON COLUMN hartonomous.compression_jobs.baseline_revision_id IS 'the state against which losses are measured';
  COMMENT ON COLUMN hartonomous.compression_jobs.state IS
  'running (or stopped, if nobody holds the lock of the model: the same call continues it), completed, or abandoned';
  COMMENT ON TABLE hartonomous.compression_trials IS
  'one row per change that a job has tried, what it did to size and loss, and whether it was kept';
  COMMENT ON COLUMN hartonomous.compression_trials.change IS
    'the change, as an element of the stages of compress_model()';
  COMMENT ON COLUMN hartonomous.compression_trials.loss IS
  'what the model has lost since the baseline, in the measure of the job; loss_error is its standard error';
  COMMENT ON COLUMN hartonomous.compression_trials.verdict IS
  'kept, rejected (for reason, and rolled back), or abandoned; NULL as long as the trial goes on';
  COMMENT ON TABLE hartonomous.ooda_hypotheses IS
  'one row per change that the loop has proposed for a state of a model, and what came of it: docs/manual/ooda.md';
  COMMENT ON COLUMN hartonomous.ooda_hypotheses.level IS 'how bold it is, 1 the most, among those of its type';
  COMMENT ON COLUMN hartonomous.ooda_hypotheses.change IS
  'the change of the model, as an element of the stages of compress_model(); NULL if no weight changes';
  COMMENT ON COLUMN hartonomous.ooda_hypotheses.expected_loss IS
  'the KL divergence that follows from the sensitivity of the tensors; NULL if that was not measured';
  COMMENT ON COLUMN hartonomous.ooda_hypotheses.risk_score IS
  'from 0 to 1; the loop acts on what is below its limit, and on what was approved';
  COMMENT ON COLUMN hartonomous.ooda_hypotheses.shown_sql IS 'SQL that would do the same, for people; never executed';
  COMMENT ON COLUMN hartonomous.ooda_hypotheses.state IS
  'proposed, approved or rejected (by a user), obsolete (the model has changed), acting, accepted or rolled_back';
  COMMENT ON TABLE hartonomous.calibration_sets IS
  'one row per text that models are calibrated on; text is NULL if only the statistics of it were imported';
  COMMENT ON TABLE hartonomous.calibration_stats IS
  'one row per matrix of a revision and calibration set: what its inputs x were when the text was run; sums over '
  'tokens, not means: docs/manual/calibrate.md';
  COMMENT ON COLUMN hartonomous.calibration_stats.text_sha256 IS
  'hash of the text that was run; NULL if the statistics were imported';
  COMMENT ON COLUMN hartonomous.calibration_stats.n_ctx IS
  'number of tokens in a window of the text; NULL if the statistics were imported';
  COMMENT ON COLUMN hartonomous.calibration_stats.tokens IS 'number of tokens of the text that were run';
  COMMENT ON COLUMN hartonomous.calibration_stats.columns IS 'length of an input: the columns of the matrix';
  COMMENT ON COLUMN hartonomous.calibration_stats.experts IS 'number of matrices in the tensor: 1 if it has no experts';
  COMMENT ON COLUMN hartonomous.calibration_stats.token_counts IS
  'for each expert, the number of tokens for which the router chose it; one number if it is the same for all';
  COMMENT ON COLUMN hartonomous.calibration_stats.sums_of_squares IS
  'the importance vectors: the sum over tokens of the square of each element of x, experts x columns in F32';
  COMMENT ON COLUMN hartonomous.calibration_stats.gram_layer_id IS
  'the tensor under whose layer_id calibration_grams holds the Gram matrix of this input, which several matrices can '
  'share; NULL if there is none';
  COMMENT ON TABLE hartonomous.calibration_grams IS
  'Gram matrices of inputs, in panels: the sum over tokens of x x^T, which is symmetric';
  COMMENT ON COLUMN hartonomous.calibration_grams.expert IS 'number of the expert, from 0; 0 if there are no experts';
  COMMENT ON COLUMN hartonomous.calibration_grams.first_column IS
  'first row of the matrix in this panel, from 0, which has whole rows up to where the next panel begins';
  COMMENT ON COLUMN hartonomous.calibration_grams.gram IS
  'those rows one after the other, each from the diagonal to the end: float32, little endian, at most 64 MB';
  COMMENT ON TABLE hartonomous.sensitivities IS
  'one row per matrix, format and method of quantizing: what the format would cost on a calibration set';
  COMMENT ON COLUMN hartonomous.sensitivities.method IS 'plain, imatrix or hessian, as in quantize_model()';
  COMMENT ON COLUMN hartonomous.sensitivities.relative_error IS
  'tr(D G D^T) / tr(W G W^T) of the weights W, their change D and the Gram matrix G; Infinity if the format '
  'cannot hold '
  'the weights';
  COMMENT ON COLUMN hartonomous.sensitivities.seconds IS
  'how long measuring took: formats of a matrix are measured together, and have equal shares';
  COMMENT ON TABLE hartonomous.sensitivity_probes IS
  'one row per matrix and method of quantizing: what the model loses if only this matrix is quantized';
  COMMENT ON COLUMN hartonomous.sensitivity_probes.format IS 'the format in which the matrix was';
  COMMENT ON COLUMN hartonomous.sensitivity_probes.tokens IS 'number of tokens of the text that were scored';
  COMMENT ON COLUMN hartonomous.sensitivity_probes.kl_divergence IS
  'KL divergence from the predictions of the revision in nats, mean over the tokens';
  COMMENT ON TABLE hartonomous.svd_spectra IS
  'one row per matrix of a revision that was whitened by a calibration set: its singular values';
  COMMENT ON COLUMN hartonomous.svd_spectra.calibration_revision IS 'the revision whose Gram matrix it was';
  COMMENT ON COLUMN hartonomous.svd_spectra.singular_values IS
  'all of them, descending, divided by the root of their sum of squares; NULL if a weight is not finite';
  COMMENT ON TABLE hartonomous.atom_usage_stats IS 'how often and how much an atom took part in evaluations';
  COMMENT ON COLUMN hartonomous.atom_usage_stats.usage_count IS 'number of tokens it took part in';
  COMMENT ON COLUMN hartonomous.atom_usage_stats.mean_energy IS
  'its mean energy per token: the sum over its weights of (weight x input)^2';
END
$$;
COMMENT ON FUNCTION hartonomous_internal.comment_store() IS 'writes the comments on the tables of the store';

-- pg_dump writes a row as one line of text, which PostgreSQL limits to 1 GB minus one byte. Weights take two characters
-- per byte there, and the other columns of svd_compressed_layers together far less than 64 kB.
CREATE FUNCTION hartonomous_internal.most_factor_bytes() RETURNS bigint
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN (1073741823 - 65536) / 2;
COMMENT ON FUNCTION hartonomous_internal.most_factor_bytes() IS
  'largest number of bytes that the factors of a tensor may have together, so that COPY and pg_dump can write their '
  'row as text';

CREATE FUNCTION hartonomous_internal.most_gram_bytes() RETURNS integer
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN 67108864;
COMMENT ON FUNCTION hartonomous_internal.most_gram_bytes() IS
  'largest number of bytes in a panel of a Gram matrix: far below what pg_dump can write as text, so that a dump does '
  'not need much memory for a row';
