-- Adapters of low rank (LoRA): which tensors of a model they change, and checks.

CREATE FUNCTION hartonomous_internal.require_adapter(model integer, adapter integer) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  base record;
  added record;
BEGIN
  PERFORM hartonomous_internal.current_revision(model), hartonomous_internal.current_revision(adapter);
  PERFORM hartonomous_internal.require_live_atoms(adapter);
  SELECT m.architecture INTO STRICT base FROM hartonomous.models m WHERE m.model_id = model;
  SELECT m.architecture, hartonomous_internal.gguf_value(m.metadata, 'adapter.type') #>> '{}' AS type INTO STRICT added
    FROM hartonomous.models m WHERE m.model_id = adapter;
  IF added.type IS DISTINCT FROM 'lora' THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('model "%s" is not an adapter of low rank', adapter::hartonomous.regmodel),
      hint => 'Its metadata have no key adapter.type with the value "lora".');
  ELSIF added.architecture IS DISTINCT FROM base.architecture THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('the adapter is for architecture "%s", but model "%s" is of architecture "%s"',
        coalesce(added.architecture, 'unknown'), model::hartonomous.regmodel, coalesce(base.architecture, 'unknown')));
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.require_adapter(integer, integer) IS
  '22023 if a model is not an adapter, or is one for another architecture than that of the other; 42704 if there is no '
  'such model, 55000 if the adapter is archived';

-- The product of a tensor is B (rows x rank) times A (rank x columns), which are "NAME.lora_b" and "NAME.lora_a".
CREATE FUNCTION hartonomous_internal.adapter_tensors(model integer, adapter integer)
  RETURNS TABLE (tensor_name text, layer_id bigint, a bigint, b bigint, rank bigint, mistake text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  any_method constant jsonb := '{"method": "magnitude"}';
BEGIN
  RETURN QUERY
    WITH factors AS MATERIALIZED (
      SELECT regexp_replace(l.layer_name, '[.]lora_[ab]$', '') AS name, substring(l.layer_name FROM '[.]lora_([ab])$')
               AS part, l.layer_id, l.layer_name, l.tensor_shape
        FROM hartonomous.model_layers l WHERE l.model_id = adapter),
    pairs AS MATERIALIZED (
      SELECT f.name, max(f.layer_id) FILTER (WHERE f.part = 'a') AS a, max(f.layer_id) FILTER (WHERE f.part = 'b') AS b,
             (array_agg(f.tensor_shape::text) FILTER (WHERE f.part = 'a'))[1]::bigint[] AS shape_a,
             (array_agg(f.tensor_shape::text) FILTER (WHERE f.part = 'b'))[1]::bigint[] AS shape_b,
             bool_or(f.part IS NULL) AS other
        FROM factors f GROUP BY f.name),
    of_base AS MATERIALIZED (SELECT t.* FROM hartonomous_internal.scored_tensors(model, any_method) t),
    of_adapter AS MATERIALIZED (SELECT t.* FROM hartonomous_internal.scored_tensors(adapter, any_method) t)
    SELECT p.name, l.layer_id, p.a, p.b, p.shape_b[2],
           CASE WHEN p.other THEN 'the adapter has a tensor that is no product of low rank'
                WHEN p.a IS NULL OR p.b IS NULL THEN 'the adapter has only one of the two matrices'
                WHEN l.layer_id IS NULL THEN 'the model has no such tensor'
                WHEN cardinality(l.tensor_shape) <> 2 OR cardinality(p.shape_a) <> 2 OR cardinality(p.shape_b) <> 2
                THEN 'it is no matrix'
                WHEN p.shape_a <> ARRAY[p.shape_b[2], l.tensor_shape[2]] OR p.shape_b[1] <> l.tensor_shape[1]
                  OR p.shape_b[2] < 1
                THEN format('a product of %s and %s does not fit %s', p.shape_b, p.shape_a, l.tensor_shape)
                ELSE coalesce('the tensor is ' || t.obstacle,
                  (SELECT format('matrix %s of the adapter is %s', upper(right(o.layer_name, 1)), o.obstacle)
                     FROM of_adapter o WHERE o.layer_id IN (p.a, p.b) AND o.obstacle IS NOT NULL LIMIT 1)) END
      FROM pairs p
      LEFT JOIN hartonomous.model_layers l ON l.model_id = model AND l.layer_name = p.name
      LEFT JOIN of_base t ON t.layer_id = l.layer_id;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.adapter_tensors(integer, integer) IS
  'the tensors of a model that an adapter changes, by name, with the adapter''s two matrices and their rank; and why '
  'the product cannot be added (NULL if it can)';

CREATE FUNCTION hartonomous_internal.merged_before(model integer, adapter integer) RETURNS integer
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN (WITH RECURSIVE line AS (
    SELECT r.revision_id, r.parent_revision_id, r.stage, r.parameters
      FROM hartonomous.models m JOIN hartonomous.model_revisions r ON r.revision_id = m.current_revision
     WHERE m.model_id = model
    UNION ALL
    SELECT r.revision_id, r.parent_revision_id, r.stage, r.parameters
      FROM line JOIN hartonomous.model_revisions r ON r.revision_id = line.parent_revision_id)
  SELECT max(l.revision_id) FROM line l
   WHERE l.stage = 'merge' AND l.parameters ->> 'adapter_sha256' = (
     SELECT encode(a.source_sha256, 'hex') FROM hartonomous.models a WHERE a.model_id = adapter));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.merged_before(integer, integer) IS
  'the live revision of a model, or one of those it was made from, in which the adapter (by the hash of its file) was '
  'merged; NULL if it was not';

CREATE FUNCTION hartonomous_internal.merge_parameters(model integer, adapter integer, scale double precision)
  RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
BEGIN
  PERFORM hartonomous_internal.require_adapter(model, adapter);
  IF scale IS NULL OR scale = 0 OR abs(scale) > 1e6 OR scale = 'NaN' THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('scale must be a number other than 0 between -1000000 and 1000000, not %s', coalesce(scale::text, 'NULL')),
      hint => 'With 1 the adapter has the weight that it was trained with.');
  END IF;
  RETURN (SELECT jsonb_build_object('adapter', a.model_id, 'adapter_name', a.model_name,
                                    'adapter_sha256', encode(a.source_sha256, 'hex'), 'scale', scale)
            FROM hartonomous.models a WHERE a.model_id = adapter);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.merge_parameters(integer, integer, double precision) IS
  'the arguments of merge_adapter() as its revision records them; 22023 if scale is out of range, and the errors of '
  'require_adapter()';

-- The steps of a stopped run may have been changed since they were planned.
CREATE FUNCTION hartonomous_internal.check_merged_tensor(tensor hartonomous.tensor_plan, model integer) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  adapter constant integer := (tensor.arguments ->> 'adapter')::integer;
  found record;
BEGIN
  PERFORM hartonomous_internal.require_adapter(model, adapter);
  SELECT t.a, t.b, t.mistake INTO found FROM hartonomous_internal.adapter_tensors(model, adapter) t
   WHERE t.layer_id = tensor.layer_id;
  IF found.mistake IS NOT NULL OR (found.a = (tensor.arguments ->> 'a')::bigint
                                   AND found.b = (tensor.arguments ->> 'b')::bigint) IS NOT TRUE THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('the adapter cannot be merged into it: %s', coalesce(found.mistake, 'these are not the matrices for it')),
      hint => 'hartonomous.merge_plan() makes such plans.');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_merged_tensor(hartonomous.tensor_plan, integer) IS
  '22023 if an operation "merge" cannot be applied to the tensor it is planned for; errors of require_adapter()';
