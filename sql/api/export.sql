-- Export: writes the live revision of a model as a GGUF or safetensors file, to a path on the server, a bytea value or
-- a large object.

CREATE FUNCTION hartonomous.export_gguf(model hartonomous.regmodel, path text, provenance boolean DEFAULT false)
  RETURNS bigint
  LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.export_to_file(model, 'gguf', path, provenance);
CREATE FUNCTION hartonomous.export_gguf(model hartonomous.regmodel, provenance boolean DEFAULT false)
  RETURNS bytea
  LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.export_to_bytea(model, 'gguf', provenance);
CREATE FUNCTION hartonomous.export_gguf_large_object(model hartonomous.regmodel, provenance boolean DEFAULT false)
  RETURNS oid
  LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.export_to_large_object(model, 'gguf', provenance);
COMMENT ON FUNCTION hartonomous.export_gguf(hartonomous.regmodel, text, boolean) IS
  'writes the live revision of a model to a file on the server (absolute path), which is either complete or absent; '
  'returns its size; with provenance, how the model was made goes into its metadata; 42501 without the right to write '
  'files';
COMMENT ON FUNCTION hartonomous.export_gguf(hartonomous.regmodel, boolean) IS
  'the live revision of a model as the bytes of a file, with provenance if asked for; 54000 from 1 GB on';
COMMENT ON FUNCTION hartonomous.export_gguf_large_object(hartonomous.regmodel, boolean) IS
  'writes the live revision of a model, with provenance if asked for, to a new large object and returns its oid';

CREATE FUNCTION hartonomous.export_safetensors(model hartonomous.regmodel, path text, provenance boolean DEFAULT false)
  RETURNS bigint
  LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.export_to_file(model, 'safetensors', path, provenance);
CREATE FUNCTION hartonomous.export_safetensors(model hartonomous.regmodel, provenance boolean DEFAULT false)
  RETURNS bytea
  LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.export_to_bytea(model, 'safetensors', provenance);
CREATE FUNCTION hartonomous.export_safetensors_large_object(model hartonomous.regmodel,
  provenance boolean DEFAULT false)
  RETURNS oid
  LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.export_to_large_object(model, 'safetensors', provenance);
COMMENT ON FUNCTION hartonomous.export_safetensors(hartonomous.regmodel, text, boolean) IS
  'writes the live revision of a model to a file on the server (absolute path), which is either complete or absent; '
  'returns its size; with provenance, how the model was made goes into its metadata; 42501 without the right to write '
  'files';
COMMENT ON FUNCTION hartonomous.export_safetensors(hartonomous.regmodel, boolean) IS
  'the live revision of a model as the bytes of a file, with provenance if asked for; 54000 from 1 GB on';
COMMENT ON FUNCTION hartonomous.export_safetensors_large_object(hartonomous.regmodel, boolean) IS
  'writes the live revision of a model, with provenance if asked for, to a new large object and returns its oid';

REVOKE ALL ON FUNCTION hartonomous_internal.export_to_file(integer, text, text, boolean),
  hartonomous.export_gguf(hartonomous.regmodel, text, boolean),
  hartonomous.export_safetensors(hartonomous.regmodel, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hartonomous_internal.export_to_file(integer, text, text, boolean),
  hartonomous.export_gguf(hartonomous.regmodel, text, boolean),
  hartonomous.export_safetensors(hartonomous.regmodel, text, boolean) TO pg_write_server_files;
