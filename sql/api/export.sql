-- Export: writes the live revision of a model as a GGUF or safetensors file, to a path on the server, a bytea value or
-- a large object.

CREATE FUNCTION hartonomous.export_gguf(model hartonomous.regmodel, path text) RETURNS bigint
  LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.export_to_file(model, 'gguf', path);
CREATE FUNCTION hartonomous.export_gguf(model hartonomous.regmodel) RETURNS bytea
  LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.export_to_bytea(model, 'gguf');
CREATE FUNCTION hartonomous.export_gguf_large_object(model hartonomous.regmodel) RETURNS oid
  LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.export_to_large_object(model, 'gguf');
COMMENT ON FUNCTION hartonomous.export_gguf(hartonomous.regmodel, text) IS
  'writes the live revision of a model to a file on the server (absolute path), which is either complete or absent; '
  'returns its size; 42501 without the right to write files';
COMMENT ON FUNCTION hartonomous.export_gguf(hartonomous.regmodel) IS
  'the live revision of a model as the bytes of a file; 54000 from 1 GB on';
COMMENT ON FUNCTION hartonomous.export_gguf_large_object(hartonomous.regmodel) IS
  'writes the live revision of a model to a new large object and returns its oid';

CREATE FUNCTION hartonomous.export_safetensors(model hartonomous.regmodel, path text) RETURNS bigint
  LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.export_to_file(model, 'safetensors', path);
CREATE FUNCTION hartonomous.export_safetensors(model hartonomous.regmodel) RETURNS bytea
  LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.export_to_bytea(model, 'safetensors');
CREATE FUNCTION hartonomous.export_safetensors_large_object(model hartonomous.regmodel) RETURNS oid
  LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE COST 5000
  RETURN hartonomous_internal.export_to_large_object(model, 'safetensors');
COMMENT ON FUNCTION hartonomous.export_safetensors(hartonomous.regmodel, text) IS
  'writes the live revision of a model to a file on the server (absolute path), which is either complete or absent; '
  'returns its size; 42501 without the right to write files';
COMMENT ON FUNCTION hartonomous.export_safetensors(hartonomous.regmodel) IS
  'the live revision of a model as the bytes of a file; 54000 from 1 GB on';
COMMENT ON FUNCTION hartonomous.export_safetensors_large_object(hartonomous.regmodel) IS
  'writes the live revision of a model to a new large object and returns its oid';

REVOKE ALL ON FUNCTION hartonomous_internal.export_to_file(integer, text, text),
  hartonomous.export_gguf(hartonomous.regmodel, text),
  hartonomous.export_safetensors(hartonomous.regmodel, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hartonomous_internal.export_to_file(integer, text, text),
  hartonomous.export_gguf(hartonomous.regmodel, text),
  hartonomous.export_safetensors(hartonomous.regmodel, text) TO pg_write_server_files;
