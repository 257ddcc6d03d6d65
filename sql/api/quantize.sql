-- Quantization of a model: rewrites its matrices in a smaller format.

-- Cancel, crash and concurrent calls: see run_stage().
CREATE PROCEDURE hartonomous.quantize_model(model hartonomous.regmodel, format text DEFAULT NULL,
    layer_pattern text DEFAULT '%', requantize boolean DEFAULT false, nowait boolean DEFAULT false,
    column_importance pg_catalog.regclass DEFAULT NULL, overrides pg_catalog.jsonb DEFAULT NULL,
    pure boolean DEFAULT false, method text DEFAULT NULL, calibration_set text DEFAULT NULL,
    calibration_revision integer DEFAULT NULL, damping double precision DEFAULT NULL, sweeps integer DEFAULT NULL,
    sequential boolean DEFAULT NULL, curvature text DEFAULT NULL)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
  CALL hartonomous_internal.run_stage(model, 'quantize_model',
    hartonomous_internal.quantize_parameters(model, format, pure, layer_pattern, requantize, column_importance,
      overrides, method, calibration_set, calibration_revision, damping, sweeps, sequential,
      curvature),
    nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.quantize_model(hartonomous.regmodel, text, text, boolean, boolean, regclass, jsonb,
  boolean, text, text, integer, double precision, integer, boolean, text) IS
  'rewrites the matrices of a model, tensor by tensor, as llama-quantize does for a file type of that name '
  '(mixtures()), with pure in one format, and without a format each atom in the one planned for it; overrides, '
  'an array of {"pattern", "format"}, take precedence, the first match decides; column_importance names a table or '
  'view with layer_name and column_importance, which guides the choice of scales; with method imatrix the statistics '
  'of a calibration set do (of the live revision, unless calibration_revision is given); with method hessian the '
  'rounding errors of a row are chosen so that they cancel in the outputs, by the Gram matrices of the set, to whose '
  'diagonal the share damping (default 0.01) of its mean is added, in a first pass and at most so many sweeps '
  '(default 5); with sequential also block by block and then the output matrix, each on the text as what is quantized '
  'before it passes it on, whose errors it corrects; with curvature fisher, which is the default if the set has '
  'gradients, the rows of a matrix share their errors, too, by the Gram matrices of the gradients by its outputs, and '
  'with input they do not; rollback_model() undoes it; '
  '22023 if there is no such format or method, 55000 if tensors are already quantized and requantize is false, or if '
  'there are no statistics';
