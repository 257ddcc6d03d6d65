-- Quantizing a model: every matrix rewritten in a smaller format.

-- Cancelled, killed, called twice: as run_stage().
CREATE PROCEDURE hartonomous.quantize_model(model hartonomous.regmodel, format text DEFAULT NULL,
  layer_pattern text DEFAULT '%',
  requantize boolean DEFAULT false, nowait boolean DEFAULT false, column_importance pg_catalog.regclass DEFAULT NULL,
  overrides pg_catalog.jsonb DEFAULT NULL, pure boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
BEGIN
  CALL hartonomous_internal.run_stage(model, 'quantize_model',
    hartonomous_internal.quantize_parameters(format, pure, layer_pattern, requantize, column_importance, overrides),
    nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.quantize_model(hartonomous.regmodel, text, text, boolean, boolean, regclass, jsonb,
  boolean) IS
  'rewrites the matrices of a model as llama-quantize does for a file type of that name (format_presets(); with pure '
  'in one format; when it is NULL, each atom in the one planned for it), a tensor at a time; overrides, an array of '
  '{"pattern", "format"}, come before it, the first that fits; column_importance names a table or view with layer_name '
  'and column_importance, whose numbers guide the choice of scales; rollback_model() undoes it; 22023 on an unknown '
  'format, 55000 when tensors are quantized already and requantize is false';
