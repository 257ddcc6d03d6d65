-- Parts of the store: its version, the comments on its tables, what its constraints call.

CREATE FUNCTION hartonomous_internal.store_version() RETURNS integer
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN 1;
COMMENT ON FUNCTION hartonomous_internal.store_version() IS 'version of the table layout that this code works with';

-- Immutable, which convert_to() is not marked: conversions may be redefined, but that of UTF-8 to itself cannot.
CREATE FUNCTION hartonomous_internal.text_sha256(text text) RETURNS bytea
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 50
  RETURN sha256(convert_to(text, 'UTF8'));
COMMENT ON FUNCTION hartonomous_internal.text_sha256(text) IS 'sha256 of a text in UTF-8';

CREATE FUNCTION hartonomous_internal.comment_store() RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  COMMENT ON TABLE hartonomous.store IS 'the version of the layout of these tables, in one row';
  COMMENT ON TABLE hartonomous.models IS 'a row is a model';
  COMMENT ON COLUMN hartonomous.models.metadata IS
    'everything of the source file that is not weights, in file order, with types: export is lossless';
  COMMENT ON TABLE hartonomous.model_layers IS 'a row is a tensor of a model';
  COMMENT ON COLUMN hartonomous.model_layers.layer_idx IS 'block number, -1 outside blocks';
  COMMENT ON COLUMN hartonomous.model_layers.tensor_shape IS 'row-major, rows first (the reverse of GGUF''s order)';
  COMMENT ON COLUMN hartonomous.model_layers.tensor_dtype IS 'format in the source file';
  COMMENT ON COLUMN hartonomous.model_layers.row_length IS 'weights in a matrix row';
  COMMENT ON COLUMN hartonomous.model_layers.atom_size IS
    'weights in an atom; atom_sequence / ceil(row_length / atom_size) is the row of an atom';
  COMMENT ON COLUMN hartonomous.model_layers.position IS 'place in the source file, from 0';
  COMMENT ON COLUMN hartonomous.model_layers.weights_geometry IS 'envelope of the atoms in x and y';
  COMMENT ON TABLE hartonomous.tensor_atoms IS
    'a row is a run of weights of one matrix row; a missing row stands for zeros; one partition per model';
  COMMENT ON COLUMN hartonomous.tensor_atoms.revision_id IS 'the revision that wrote the partition';
  COMMENT ON COLUMN hartonomous.tensor_atoms.x IS 'first principal coordinate within the tensor, in [0, 100]';
  COMMENT ON COLUMN hartonomous.tensor_atoms.y IS 'second principal coordinate within the tensor, in [0, 100]';
  COMMENT ON COLUMN hartonomous.tensor_atoms.importance_score IS
    'log of the root mean square, standardised within the tensor, in [-10, 10]; 10 for vectors';
  COMMENT ON COLUMN hartonomous.tensor_atoms.quantization_format IS 'the format planned for the atom';
  COMMENT ON COLUMN hartonomous.tensor_atoms.content_hash IS 'sha256 of the blocks: sha256(atom_data::bytea)';
  COMMENT ON TABLE hartonomous.tensor_atoms_backup IS 'atoms of earlier revisions; one partition per revision';
  COMMENT ON TABLE hartonomous.model_revisions IS 'a row is a state of a model';
  COMMENT ON VIEW hartonomous.compression_backups IS
    'a row is a revision that can be returned to, in the original design''s words';
  COMMENT ON TABLE hartonomous.svd_compressed_layers IS
    'a row is a tensor as factors: it acts as U diag(s) VT plus its atoms';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.revision_id IS
    'the revision that wrote the partition beside which the factors stand';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.u_matrix IS 'rows x rank, row after row';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.s_vector IS 'singular values, descending';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.vt_matrix IS 'rank x columns, row after row';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.compression_ratio IS
    'original_bytes by those of the factors and residual atoms';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.relative_error IS
    'Frobenius norm of what the stored factors left by that of the matrix, measured when they were made';
  COMMENT ON COLUMN hartonomous.svd_compressed_layers.dense_format IS
    'the format in which the tensor is exported, multiplied out';
  COMMENT ON TABLE hartonomous.compression_runs IS
    'a row is a job; a running one that was stopped is resumed by the same call';
  COMMENT ON COLUMN hartonomous.compression_runs.state IS
    'running (or stopped, when nobody holds the model''s lock), completed, failed (an error ended it, what it wrote is '
    'dropped), or abandoned';
  COMMENT ON COLUMN hartonomous.compression_runs.error_sqlstate IS
    'of the error that ended a failed run, or that stopped a running one';
  COMMENT ON COLUMN hartonomous.compression_runs.error_message IS 'the message of that error';
  COMMENT ON TABLE hartonomous.compression_steps IS 'a row is one tensor''s share of a job';
  COMMENT ON COLUMN hartonomous.compression_steps.operation IS
    'what becomes of the tensor: copy, quantize, prune, encode_geometry, factor';
  COMMENT ON COLUMN hartonomous.compression_steps.arguments IS 'of the operation: docs/operations.md';
  COMMENT ON COLUMN hartonomous.compression_steps.outcome IS 'what became of the tensor, in words';
  COMMENT ON TABLE hartonomous.validation_sets IS 'a row is a text that models are measured on';
  COMMENT ON TABLE hartonomous.validation_results IS
    'a row is a measurement of a revision: docs/manual/evaluate.md; columns named _error are standard errors';
  COMMENT ON COLUMN hartonomous.validation_results.text_sha256 IS 'the text as it was then';
  COMMENT ON COLUMN hartonomous.validation_results.score IS 'what the evaluator, a function of the user''s, returned';
  COMMENT ON TABLE hartonomous.atom_usage_stats IS 'how often and how much an atom took part in evaluations';
  COMMENT ON COLUMN hartonomous.atom_usage_stats.usage_count IS 'tokens it took part in';
  COMMENT ON COLUMN hartonomous.atom_usage_stats.avg_retrieval_score IS
    'its mean energy a token: the sum over its weights of (weight x input)^2';
END
$$;
COMMENT ON FUNCTION hartonomous_internal.comment_store() IS 'writes the comments on the tables of the store';

-- pg_dump writes a row as one line of text, for which PostgreSQL has 1 GB less a byte; weights take two characters a
-- byte there, and everything else in a row of svd_compressed_layers stays far below 64 kB.
CREATE FUNCTION hartonomous_internal.most_factor_bytes() RETURNS bigint
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN (1073741823 - 65536) / 2;
COMMENT ON FUNCTION hartonomous_internal.most_factor_bytes() IS
  'bytes that the factors of a tensor may take together, so that COPY and pg_dump can write their row as text';
