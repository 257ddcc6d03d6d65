-- Import of GGUF and safetensors files. A source is a path on the server (text; needs pg_read_server_files), the
-- contents of the file (bytea), or a large object (oid). Given the config.json of a Hugging Face checkpoint, a
-- safetensors file is imported as the equivalent GGUF model; JSON null means that there is no config. Large models are
-- split into several files, whose paths are passed as an array (text[]).

CREATE FUNCTION hartonomous.import_safetensors(source text, model_name text, atom_size integer DEFAULT NULL,
    config jsonb DEFAULT NULL, tokenizer jsonb DEFAULT NULL, tokenizer_config jsonb DEFAULT NULL,
    pre_tokenizer text DEFAULT NULL) RETURNS integer
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.import_model(source, 'safetensors', model_name, atom_size, coalesce(config, 'null'),
    coalesce(tokenizer, 'null'), coalesce(tokenizer_config, 'null'), coalesce(pre_tokenizer, ''));
COMMENT ON FUNCTION hartonomous.import_safetensors(text, text, integer, jsonb, jsonb, jsonb, text) IS
  'imports a safetensors file and returns the model''s number; an atom has atom_size weights (0: a matrix row; NULL: '
  'as many rows as 65536 weights are, or a part of one; if rows are below 1024 weights, a 64th of the matrix at most); '
  'with config, tokenizer and tokenizer_config (config.json, tokenizer.json and tokenizer_config.json of a checkpoint) '
  'the model can be evaluated and exported to GGUF; pre_tokenizer names how text is split into words if the pattern in '
  'tokenizer is unknown; 22P03 if the file is malformed, 0A000 if it is part of a model, 22023 and 0A000 if '
  'config or tokenizer are invalid or not supported, 42710 if the name is taken, 42501 without the right to read files';

CREATE FUNCTION hartonomous.import_safetensors(source text[], model_name text, atom_size integer DEFAULT NULL,
    config jsonb DEFAULT NULL, tokenizer jsonb DEFAULT NULL, tokenizer_config jsonb DEFAULT NULL,
    pre_tokenizer text DEFAULT NULL) RETURNS integer
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.import_model(source, 'safetensors', model_name, atom_size, coalesce(config, 'null'),
    coalesce(tokenizer, 'null'), coalesce(tokenizer_config, 'null'), coalesce(pre_tokenizer, ''));
COMMENT ON FUNCTION hartonomous.import_safetensors(text[], text, integer, jsonb, jsonb, jsonb, text) IS
  'the same from the files of a checkpoint, in any order; the path of its index (model.safetensors.index.json) stands '
  'for all of them';

CREATE FUNCTION hartonomous.import_safetensors(source bytea, model_name text, atom_size integer DEFAULT NULL,
    config jsonb DEFAULT NULL, tokenizer jsonb DEFAULT NULL, tokenizer_config jsonb DEFAULT NULL,
    pre_tokenizer text DEFAULT NULL) RETURNS integer
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.import_model(source, 'safetensors', model_name, atom_size, coalesce(config, 'null'),
    coalesce(tokenizer, 'null'), coalesce(tokenizer_config, 'null'), coalesce(pre_tokenizer, ''));
COMMENT ON FUNCTION hartonomous.import_safetensors(bytea, text, integer, jsonb, jsonb, jsonb, text) IS
  'the same from a file of type bytea';

CREATE FUNCTION hartonomous.import_safetensors(source oid, model_name text, atom_size integer DEFAULT NULL,
    config jsonb DEFAULT NULL, tokenizer jsonb DEFAULT NULL, tokenizer_config jsonb DEFAULT NULL,
    pre_tokenizer text DEFAULT NULL) RETURNS integer
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.import_model(source, 'safetensors', model_name, atom_size, coalesce(config, 'null'),
    coalesce(tokenizer, 'null'), coalesce(tokenizer_config, 'null'), coalesce(pre_tokenizer, ''));
COMMENT ON FUNCTION hartonomous.import_safetensors(oid, text, integer, jsonb, jsonb, jsonb, text) IS
  'the same from a large object';

CREATE FUNCTION hartonomous.import_gguf(source text, model_name text, atom_size integer DEFAULT NULL,
    pre_tokenizer text DEFAULT NULL) RETURNS integer
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.import_model(source, 'gguf', model_name, atom_size,
    pre_tokenizer => coalesce(pre_tokenizer, ''));
COMMENT ON FUNCTION hartonomous.import_gguf(text, text, integer, text) IS
  'imports a GGUF file and returns the model''s number; an atom has atom_size weights, a part of a '
  'matrix row or as many rows as these are (0: a row; NULL: 65536 weights, but of rows below 1024 weights a '
  '64th of the matrix at most); 22P03 if the file is malformed, 0A000 if it is part of a split model, 42710 if the '
  'name is taken, 42501 without the right to read files; a first part named -00001-of-0000N.gguf stands for all '
  'parts, which lie beside it; pre_tokenizer names '
  'how text is split into words if the file does not say it';

CREATE FUNCTION hartonomous.import_gguf(source text[], model_name text, atom_size integer DEFAULT NULL,
    pre_tokenizer text DEFAULT NULL) RETURNS integer
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.import_model(source, 'gguf', model_name, atom_size,
    pre_tokenizer => coalesce(pre_tokenizer, ''));
COMMENT ON FUNCTION hartonomous.import_gguf(text[], text, integer, text) IS
  'the same from the parts of a split model, in any order; 22P03 if the files are not exactly the parts of one model';

CREATE FUNCTION hartonomous.import_gguf(source bytea, model_name text, atom_size integer DEFAULT NULL,
    pre_tokenizer text DEFAULT NULL) RETURNS integer
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.import_model(source, 'gguf', model_name, atom_size,
    pre_tokenizer => coalesce(pre_tokenizer, ''));
COMMENT ON FUNCTION hartonomous.import_gguf(bytea, text, integer, text) IS 'the same from a file of type bytea';

CREATE FUNCTION hartonomous.import_gguf(source oid, model_name text, atom_size integer DEFAULT NULL,
    pre_tokenizer text DEFAULT NULL) RETURNS integer
  LANGUAGE sql VOLATILE PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.import_model(source, 'gguf', model_name, atom_size,
    pre_tokenizer => coalesce(pre_tokenizer, ''));
COMMENT ON FUNCTION hartonomous.import_gguf(oid, text, integer, text) IS 'the same from a large object';

REVOKE ALL ON FUNCTION hartonomous.file_metadata(text, text, jsonb, jsonb, jsonb, text),
  hartonomous.file_metadata(text[], text, jsonb, jsonb, jsonb, text), hartonomous.file_tensors(text, text, jsonb),
  hartonomous.file_tensors(text[], text, jsonb), hartonomous.file_sha256(text), hartonomous.file_sha256(text[]),
  hartonomous.import_gguf(text, text, integer, text),
  hartonomous.import_gguf(text[], text, integer, text),
  hartonomous.import_safetensors(text, text, integer, jsonb, jsonb, jsonb, text),
  hartonomous.import_safetensors(text[], text, integer, jsonb, jsonb, jsonb, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hartonomous.file_metadata(text, text, jsonb, jsonb, jsonb, text),
  hartonomous.file_metadata(text[], text, jsonb, jsonb, jsonb, text), hartonomous.file_tensors(text, text, jsonb),
  hartonomous.file_tensors(text[], text, jsonb), hartonomous.file_sha256(text), hartonomous.file_sha256(text[]),
  hartonomous.import_gguf(text, text, integer, text),
  hartonomous.import_gguf(text[], text, integer, text),
  hartonomous.import_safetensors(text, text, integer, jsonb, jsonb, jsonb, text),
  hartonomous.import_safetensors(text[], text, integer, jsonb, jsonb, jsonb, text) TO pg_read_server_files;
