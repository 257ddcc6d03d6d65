-- Functions that inspect model files without importing them.

CREATE FUNCTION hartonomous.file_metadata(source text, container text, config jsonb DEFAULT 'null',
                                          tokenizer jsonb DEFAULT 'null',
                                          tokenizer_config jsonb DEFAULT 'null', pre_tokenizer text DEFAULT '')
                                          RETURNS jsonb
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous.file_metadata(text, text, jsonb, jsonb, jsonb, text) IS
  'everything in a model file but the weights; container is gguf or safetensors; with config, tokenizer and '
  'tokenizer_config of a checkpoint, the metadata of the equivalent GGUF model; 22P03 if the file is malformed, 22023 '
  'and 0A000 if config or '
  'tokenizer are invalid or not supported';

CREATE FUNCTION hartonomous.file_metadata(source text[], container text, config jsonb DEFAULT 'null',
                                          tokenizer jsonb DEFAULT 'null',
                                          tokenizer_config jsonb DEFAULT 'null', pre_tokenizer text DEFAULT '')
                                          RETURNS jsonb
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous.file_metadata(text[], text, jsonb, jsonb, jsonb, text) IS
  'the same for the files of a checkpoint or the parts of a split GGUF model';

CREATE FUNCTION hartonomous.file_metadata(source bytea, container text, config jsonb DEFAULT 'null',
                                          tokenizer jsonb DEFAULT 'null',
                                          tokenizer_config jsonb DEFAULT 'null', pre_tokenizer text DEFAULT '')
                                          RETURNS jsonb
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous.file_metadata(bytea, text, jsonb, jsonb, jsonb, text) IS
  'the same for a file of type bytea';

CREATE FUNCTION hartonomous.file_metadata(source oid, container text, config jsonb DEFAULT 'null',
                                          tokenizer jsonb DEFAULT 'null',
                                          tokenizer_config jsonb DEFAULT 'null', pre_tokenizer text DEFAULT '')
                                          RETURNS jsonb
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous.file_metadata(oid, text, jsonb, jsonb, jsonb, text) IS 'the same for a large object';

CREATE FUNCTION hartonomous.file_tensors(source text, container text, config jsonb DEFAULT 'null')
  RETURNS TABLE ("position" integer, tensor_name text, tensor_dtype text, storage_format text,
                 tensor_shape bigint[], row_length bigint, parameter_count bigint, bytes bigint)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000 ROWS 300;
COMMENT ON FUNCTION hartonomous.file_tensors(text, text, jsonb) IS
  'the tensors of a model file, shapes rows first; container is gguf or safetensors; with the config of a checkpoint, '
  'those of the equivalent GGUF model; 22P03 if the file is malformed';

CREATE FUNCTION hartonomous.file_tensors(source text[], container text, config jsonb DEFAULT 'null')
  RETURNS TABLE ("position" integer, tensor_name text, tensor_dtype text, storage_format text,
                 tensor_shape bigint[], row_length bigint, parameter_count bigint, bytes bigint)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000 ROWS 300;
COMMENT ON FUNCTION hartonomous.file_tensors(text[], text, jsonb) IS
  'the same for the files of a checkpoint or the parts of a split GGUF model';

CREATE FUNCTION hartonomous.file_tensors(source bytea, container text, config jsonb DEFAULT 'null')
  RETURNS TABLE ("position" integer, tensor_name text, tensor_dtype text, storage_format text,
                 tensor_shape bigint[], row_length bigint, parameter_count bigint, bytes bigint)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000 ROWS 300;
COMMENT ON FUNCTION hartonomous.file_tensors(bytea, text, jsonb) IS 'the same for a file of type bytea';

CREATE FUNCTION hartonomous.file_tensors(source oid, container text, config jsonb DEFAULT 'null')
  RETURNS TABLE ("position" integer, tensor_name text, tensor_dtype text, storage_format text,
                 tensor_shape bigint[], row_length bigint, parameter_count bigint, bytes bigint)
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000 ROWS 300;
COMMENT ON FUNCTION hartonomous.file_tensors(oid, text, jsonb) IS 'the same for a large object';

CREATE FUNCTION hartonomous.file_sha256(source text) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous.file_sha256(text) IS 'SHA-256 of a file, or of several files one after the other';

CREATE FUNCTION hartonomous.file_sha256(source text[]) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous.file_sha256(text[]) IS 'SHA-256 of a file, or of several files one after the other';

CREATE FUNCTION hartonomous.file_sha256(source bytea) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous.file_sha256(bytea) IS 'SHA-256 of a file, or of several files one after the other';

CREATE FUNCTION hartonomous.file_sha256(source oid) RETURNS bytea
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous.file_sha256(oid) IS 'SHA-256 of a file, or of several files one after the other';
