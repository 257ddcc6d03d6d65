-- The format names that quantize_model() accepts: the file types of llama-quantize.

CREATE FUNCTION hartonomous.mixtures() RETURNS TABLE (mixture text, file_type integer, base_format text)
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 50 ROWS 20;
COMMENT ON FUNCTION hartonomous.mixtures() IS
  'the mixtures of quantize_model(), which are the file types of llama-quantize: their names, their numbers '
  '(general.file_type) and the format of most of their tensors';
