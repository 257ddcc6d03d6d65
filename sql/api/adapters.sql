-- Adapters of low rank (LoRA: Hu et al. 2021), which are models of their own, folded into the model they were trained
-- for.

CREATE FUNCTION hartonomous.merge_plan(model hartonomous.regmodel, adapter hartonomous.regmodel,
    scale double precision DEFAULT 1) RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
DECLARE
  parameters constant jsonb := hartonomous_internal.merge_parameters(model, adapter, scale);
  before constant integer := hartonomous_internal.merged_before(model, adapter);
  alpha constant double precision := (SELECT (hartonomous_internal.gguf_value(m.metadata, 'adapter.lora.alpha')
    #>> '{}')::float8 FROM hartonomous.models m WHERE m.model_id = adapter::integer);
  mistaken record;
BEGIN
  SELECT t.tensor_name, t.mistake INTO mistaken FROM hartonomous_internal.adapter_tensors(model, adapter) t
   WHERE t.mistake IS NOT NULL ORDER BY t.tensor_name LIMIT 1;
  IF mistaken.mistake IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('the adapter cannot be merged into tensor "%s": %s', mistaken.tensor_name, mistaken.mistake));
  END IF;
  RETURN QUERY
    SELECT t.layer_id, t.layer_name, CASE WHEN o.reason IS NULL THEN 'merge' END,
           CASE WHEN o.reason IS NULL THEN jsonb_build_object('adapter', adapter::integer, 'a', p.a, 'b', p.b,
             'scale', (scale * CASE WHEN alpha <> 0 THEN alpha / p.rank ELSE 1 END)::real) END,
           t.atoms, t.atoms, t.bytes, t.bytes, o.reason,
           CASE WHEN p.layer_id IS NOT NULL THEN jsonb_build_object('rank', p.rank) END
      FROM hartonomous_internal.scored_tensors(model, '{"method": "magnitude"}') t
      LEFT JOIN hartonomous_internal.adapter_tensors(model, adapter) p ON p.layer_id = t.layer_id
      CROSS JOIN LATERAL (SELECT CASE WHEN p.layer_id IS NULL THEN 'not in the adapter'
        WHEN before IS NOT NULL THEN format('merged in revision %s', before) END AS reason) o
     ORDER BY t.position;
END
$$;
COMMENT ON FUNCTION hartonomous.merge_plan(hartonomous.regmodel, hartonomous.regmodel, double precision) IS
  'what merge_adapter would do, one row per tensor (see tensor_plan), or the reason why a tensor stays as it '
  'is; errors '
  'as merge_adapter()';

-- Cancel, crash and concurrent calls: see run_stage().
CREATE PROCEDURE hartonomous.merge_adapter(model hartonomous.regmodel, adapter hartonomous.regmodel,
    scale double precision DEFAULT 1, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
  CALL hartonomous_internal.run_stage(model, 'merge_adapter',
    hartonomous_internal.merge_parameters(model, adapter, scale), nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.merge_adapter(hartonomous.regmodel, hartonomous.regmodel, double precision, boolean) IS
  'adds to each matrix of a model the product of low rank that an adapter has for it, times scale * alpha / '
  'rank (alpha: '
  'the adapter''s key adapter.lora.alpha), and writes it in the format that it has; an adapter that is merged already '
  'changes nothing; rollback_model() undoes it; 22023 if the other model is no adapter, is one for another '
  'architecture, has '
  'tensors that the model lacks or that do not fit, if matrices are factored or in a format that cannot be '
  'written, or if '
  'scale is 0 or out of range, 42704, 55000, 55P03 with nowait';
