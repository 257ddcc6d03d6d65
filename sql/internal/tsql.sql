-- Definitions of the functions, procedures and views that install_tsql_names() creates.

-- Each row has what it requires (a function with its arguments, or a table), its name, and its definition. %1$I stands
-- for the schema, %2$I for that of PostGIS, %3$s for an option of views.
CREATE FUNCTION hartonomous_internal.tsql_definitions() RETURNS TABLE (needs text, name text, definition text)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 50 ROWS 20
BEGIN ATOMIC
  SELECT v.* FROM (VALUES
    -- Functions
    ('quantize_geometry(%2$I.geometry,text)', 'clr_QuantizeGeometry(geometry)',
      'CREATE OR REPLACE FUNCTION %1$I.clr_QuantizeGeometry(WeightsGeometry %2$I.geometry) RETURNS bytea LANGUAGE sql '
      'IMMUTABLE STRICT PARALLEL SAFE RETURN hartonomous.quantize_geometry(WeightsGeometry)'),
    ('dequantize_geometry(bytea)', 'clr_DequantizeGeometry(bytea)',
      'CREATE OR REPLACE FUNCTION %1$I.clr_DequantizeGeometry(WeightsGeometryQuantized bytea) RETURNS %2$I.geometry '
      'LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN hartonomous.dequantize_geometry(WeightsGeometryQuantized)'),
    ('quantize_geometry_q8(%2$I.geometry)', 'clr_QuantizeGeometryQ8(geometry)',
      'CREATE OR REPLACE FUNCTION %1$I.clr_QuantizeGeometryQ8(WeightsGeometry %2$I.geometry) RETURNS bytea LANGUAGE '
      'sql IMMUTABLE STRICT PARALLEL SAFE RETURN hartonomous.quantize_geometry_q8(WeightsGeometry)'),
    ('dequantize_geometry_q8(bytea)', 'clr_DequantizeGeometryQ8(bytea)',
      'CREATE OR REPLACE FUNCTION %1$I.clr_DequantizeGeometryQ8(WeightsGeometryQ8 bytea) RETURNS %2$I.geometry '
      'LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN hartonomous.dequantize_geometry_q8(WeightsGeometryQ8)'),
    ('quantize_q8(real,real,real)', 'QuantizeToQ8(real,real,real)',
      'CREATE OR REPLACE FUNCTION %1$I.QuantizeToQ8(x real, y real, z real) RETURNS bytea LANGUAGE sql IMMUTABLE '
      'STRICT PARALLEL SAFE RETURN hartonomous.quantize_q8(x, y, z)'),
    ('dequantize_q8(bytea)', 'DequantizeQ8(bytea)',
      'CREATE OR REPLACE FUNCTION %1$I.DequantizeQ8(quantized bytea, OUT x real, OUT y real, OUT z real) LANGUAGE sql '
      'IMMUTABLE STRICT PARALLEL SAFE AS ''SELECT d.x, d.y, d.z FROM hartonomous.dequantize_q8(quantized) d'''),
    ('quantize_q4k(real[],integer)', 'QuantizeToQ4K(real[],integer)',
      'CREATE OR REPLACE FUNCTION %1$I.QuantizeToQ4K(coordinates real[], blockSize integer DEFAULT 256) RETURNS bytea '
      'LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN hartonomous.quantize_q4k(coordinates, blockSize)'),
    ('dequantize_q4k(bytea,bigint,integer)', 'DequantizeQ4K(bytea,integer,integer)',
      'CREATE OR REPLACE FUNCTION %1$I.DequantizeQ4K(quantized bytea, originalLength integer, blockSize integer '
      'DEFAULT 256) RETURNS real[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN '
      'hartonomous.dequantize_q4k(quantized, originalLength, blockSize)'),
    ('svd_decompose(json,integer,integer,integer)', 'clr_SvdDecompose(json,integer,integer,integer)',
      'CREATE OR REPLACE FUNCTION %1$I.clr_SvdDecompose(weightArrayJson json, rows integer, cols integer, maxRank '
      'integer) RETURNS json LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN '
      'hartonomous.svd_decompose(weightArrayJson, rows, cols, maxRank)'),
    ('reconstruct_from_svd(json,json,json)', 'clr_ReconstructFromSVD(json,json,json)',
      'CREATE OR REPLACE FUNCTION %1$I.clr_ReconstructFromSVD(UJson json, SJson json, VTJson json) RETURNS json '
      'LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN hartonomous.reconstruct_from_svd(UJson, SJson, VTJson)'),
    ('levenshtein_similarity(text,text)', 'fn_LevenshteinSimilarity(text,text)',
      'CREATE OR REPLACE FUNCTION %1$I.fn_LevenshteinSimilarity(a text, b text) RETURNS double precision LANGUAGE sql '
      'IMMUTABLE STRICT PARALLEL SAFE RETURN hartonomous.levenshtein_similarity(a, b)'),
    -- Procedures: EXEC dbo.sp_X @A = 1 becomes CALL dbo.sp_X(A => 1). The result is the number of the new model.
    ('extract_student_model(hartonomous.regmodel,integer[],real,text,boolean,boolean,boolean)',
      'sp_ExtractStudentModel',
      'CREATE OR REPLACE PROCEDURE %1$I.sp_ExtractStudentModel(ParentModelId integer, layer_subset text DEFAULT NULL, '
      'importance_threshold double precision DEFAULT NULL, NewModelName text DEFAULT NULL, INOUT StudentModelId '
      'integer DEFAULT NULL) LANGUAGE plpgsql AS ''BEGIN StudentModelId := '
      'hartonomous.extract_student_model(ParentModelId, pg_catalog.string_to_array(layer_subset, '''','''')::integer[],'
      ' importance_threshold::real, NewModelName); END'''),
    ('dynamic_student_extraction(hartonomous.regmodel,text,double precision,boolean)', 'sp_DynamicStudentExtraction',
      'CREATE OR REPLACE PROCEDURE %1$I.sp_DynamicStudentExtraction(ParentModelId integer, selection_strategy text, '
      'target_size_ratio double precision DEFAULT 0.5, INOUT StudentModelId integer DEFAULT NULL) LANGUAGE plpgsql AS '
      '''BEGIN StudentModelId := hartonomous.dynamic_student_extraction(ParentModelId, selection_strategy, '
      'target_size_ratio); END'''),
    ('generate_text_spatial(hartonomous.regmodel,text,integer,%2$I.geometry)', 'sp_GenerateTextSpatial',
      'CREATE OR REPLACE PROCEDURE %1$I.sp_GenerateTextSpatial(ModelName text, PromptText text, MaxTokens integer '
      'DEFAULT 100, INOUT GeneratedText text DEFAULT NULL) LANGUAGE plpgsql AS ''BEGIN GeneratedText := '
      'hartonomous.generate_text_spatial(ModelName, PromptText, MaxTokens, NULL); END'''),
    -- The original names no text, so the newest validation set is used.
    ('validate_model_accuracy(hartonomous.regmodel,text,integer,integer,integer)', 'sp_ValidateModelAccuracy',
      'CREATE OR REPLACE PROCEDURE %1$I.sp_ValidateModelAccuracy(modelId integer, validationSet text DEFAULT NULL, '
      'INOUT perplexity double precision DEFAULT NULL) LANGUAGE plpgsql AS ''BEGIN SELECT v.perplexity INTO perplexity '
      'FROM hartonomous.validate_model_accuracy(modelId, coalesce(validationSet, (SELECT s.validation_set '
      'FROM hartonomous.validation_sets s ORDER BY s.created_at DESC LIMIT 1))) v; END'''),
    -- Tables, as updatable views
    ('models', 'Models',
      'CREATE OR REPLACE VIEW %1$I.Models %3$s AS SELECT m.model_id AS ModelId, m.model_name AS ModelName, '
      'm.model_type AS ModelType, m.architecture AS Architecture, m.ingestion_date AS IngestionDate, m.parent_model_id '
      'AS ParentModelId, m.parameter_count AS ParameterCount FROM hartonomous.models m'),
    ('model_layers', 'ModelLayers',
      'CREATE OR REPLACE VIEW %1$I.ModelLayers %3$s AS SELECT l.layer_id AS LayerId, l.model_id AS ModelId, '
      'l.layer_idx AS LayerIdx, l.layer_name AS LayerName, l.layer_type AS LayerType, l.weights_geometry AS '
      'WeightsGeometry, l.tensor_shape AS TensorShape, l.tensor_dtype AS TensorDtype, l.parameter_count AS '
      'ParameterCount FROM hartonomous.model_layers l'),
    ('tensor_atoms', 'TensorAtoms',
      'CREATE OR REPLACE VIEW %1$I.TensorAtoms %3$s AS SELECT a.tensor_atom_id AS TensorAtomId, a.model_id AS ModelId, '
      'a.layer_id AS LayerId, hartonomous_internal.layer_number(a.tensor_name) AS LayerIdx, a.tensor_name AS '
      'TensorName, a.atom_sequence AS AtomSequence, a.atom_data AS AtomData, a.x AS X, a.y AS Y, a.importance_score AS '
      'ImportanceScore, a.weights_geometry AS WeightsGeometry, a.quantized_position AS WeightsGeometryQ8, '
      'a.hilbert_index AS HilbertIndex, a.planned_format AS QuantizationFormat, a.content_hash AS ContentHash '
      'FROM hartonomous.tensor_atoms a'),
    ('tensor_atoms_backup', 'TensorAtoms_Backup',
      'CREATE OR REPLACE VIEW %1$I.TensorAtoms_Backup %3$s AS SELECT a.tensor_atom_id AS TensorAtomId, a.model_id AS '
      'ModelId, a.layer_id AS LayerId, a.tensor_name AS TensorName, a.atom_sequence AS AtomSequence, a.atom_data AS '
      'AtomData, a.importance_score AS ImportanceScore, a.weights_geometry AS WeightsGeometry, a.quantized_position '
      'AS WeightsGeometryQ8, a.hilbert_index AS HilbertIndex, a.planned_format AS QuantizationFormat, '
      'a.content_hash AS ContentHash, a.revision_id AS BackupId, r.created_at AS BackupTimestamp '
      'FROM hartonomous.tensor_atoms_backup a JOIN hartonomous.model_revisions r USING (revision_id)'),
    ('compression_backups', 'CompressionBackups',
      'CREATE OR REPLACE VIEW %1$I.CompressionBackups %3$s AS SELECT b.backup_id AS BackupId, b.model_id AS ModelId, '
      'b.compression_stage AS CompressionStage, b.backup_timestamp AS BackupTimestamp, b.atom_count AS AtomCount, '
      'b.storage_size_gb AS StorageSizeGB FROM hartonomous.compression_backups b'),
    ('svd_compressed_layers', 'SVDCompressedLayers',
      'CREATE OR REPLACE VIEW %1$I.SVDCompressedLayers %3$s AS SELECT f.layer_id AS LayerId, f.model_id AS ModelId, '
      'f.layer_name AS LayerName, f.rank AS Rank, f.u_matrix AS U_Matrix, f.s_vector AS S_Vector, f.vt_matrix AS '
      'VT_Matrix, f.original_rows AS OriginalRows, f.original_cols AS OriginalCols, f.compression_ratio AS '
      'CompressionRatio, f.explained_variance AS ExplainedVariance, f.revision_id AS RevisionId '
      'FROM hartonomous.svd_compressed_layers f'),
    ('atom_usage_stats', 'AtomUsageStats',
      'CREATE OR REPLACE VIEW %1$I.AtomUsageStats %3$s AS SELECT u.tensor_atom_id AS TensorAtomId, u.usage_count AS '
      'UsageCount, u.last_used AS LastUsed, u.mean_energy AS AvgRetrievalScore, u.model_id AS ModelId '
      'FROM hartonomous.atom_usage_stats u'))
    v (needs, name, definition);
END;
COMMENT ON FUNCTION hartonomous_internal.tsql_definitions() IS
  'the names that install_tsql_names() creates, each with the statement that creates it and what must exist for it';
