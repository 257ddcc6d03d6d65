-- Quantization policy: the format that llama-quantize gives each tensor. It is implemented in src/core/quantization.

CREATE FUNCTION hartonomous_internal.mixture_named(name text) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous_internal.mixture_named(text) IS
  'the file type that llama-quantize takes a name for, such as Q4_K_M for q4_k; NULL when it is none of '
  'mixtures()';

CREATE TYPE hartonomous.mixture_traits AS (gguf boolean, architecture text, blocks bigint, experts bigint, heads bigint,
                                       kv_heads bigint);
COMMENT ON TYPE hartonomous.mixture_traits IS
  'the properties of a model that the mixtures of llama-quantize depend on: whether its tensors have GGUF''s names, '
  'and hyperparameters, of lists with one number per block the first';

-- Read in one pass, because the metadata can take many megabytes.
CREATE FUNCTION hartonomous_internal.mixture_traits_of(model integer) RETURNS hartonomous.mixture_traits
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
  SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  traits hartonomous.mixture_traits;
BEGIN
  SELECT coalesce(m.metadata ->> 'format' = 'gguf', false), m.architecture,
         coalesce(max(k.value) FILTER (WHERE k.key = 'block_count'),
                  (SELECT max(l.layer_idx) + 1 FROM hartonomous.model_layers l WHERE l.model_id = m.model_id)),
         max(k.value) FILTER (WHERE k.key = 'expert_count'), max(k.value) FILTER (WHERE k.key = 'attention.head_count'),
         coalesce(max(k.value) FILTER (WHERE k.key = 'attention.head_count_kv'),
                  max(k.value) FILTER (WHERE k.key = 'attention.head_count'))
    INTO traits
    FROM hartonomous.models m
    LEFT JOIN LATERAL (
      SELECT substr(e.kv ->> 'key', length(m.architecture) + 2) AS key,
             (jsonb_path_query_first(e.kv -> 'value', 'lax $[0] ? (@.type() == "number")') #>> '{}')::numeric AS value
        FROM jsonb_array_elements(m.metadata -> 'kv') e (kv)
       WHERE e.kv ->> 'key' = ANY (ARRAY[m.architecture || '.block_count', m.architecture || '.expert_count',
               m.architecture || '.attention.head_count', m.architecture || '.attention.head_count_kv'])) k ON true
   WHERE m.model_id = model GROUP BY m.model_id;
  RETURN traits;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.mixture_traits_of(integer) IS
  'the properties of a model that the mixtures of llama-quantize depend on';

CREATE FUNCTION hartonomous_internal.tensor_formats(traits hartonomous.mixture_traits, mixture text,
  by_importance boolean, layer_names text[], matrices bigint[], runs bigint[]) RETURNS text[]
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous_internal.tensor_formats(hartonomous.mixture_traits, text, boolean, text[], bigint[],
  bigint[]) IS
  'the formats that a file type of llama-quantize gives the tensors of a model; all of its tensors must be passed; '
  'matrices are their matrix_count(), runs the numbers of weights that must be whole blocks; 22023 if there is no such '
  'file type, 2202E if there are not as many of each as names, 22003 if a number is negative';

CREATE FUNCTION hartonomous_internal.mixture_formats(model integer, mixture text, by_importance boolean DEFAULT false)
  RETURNS TABLE (layer_id bigint, format text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  tensors record;
BEGIN
  SELECT array_agg(l.layer_id) AS layers, array_agg(l.layer_name) AS names,
         array_agg(hartonomous_internal.matrix_count(l.tensor_shape)) AS matrices,
         array_agg(least(gcd(l.row_length, l.atom_size), l.row_length)) AS runs
    INTO tensors FROM hartonomous.model_layers l WHERE l.model_id = model;
  RETURN QUERY
    SELECT t.layer_id, t.format
      FROM ROWS FROM (unnest(tensors.layers),
             unnest(
               hartonomous_internal.tensor_formats(hartonomous_internal.mixture_traits_of(model), mixture,
                 by_importance, tensors.names, tensors.matrices, tensors.runs))) AS t (layer_id, format);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.mixture_formats(integer, text, boolean) IS
  'the format that a file type of llama-quantize gives each tensor of a model, with or without importance, before the '
  'fallbacks for rows that are not whole blocks, and whether or not the tensor is quantized at all; 22023 if there is '
  'no such file type';

CREATE FUNCTION hartonomous_internal.recognized_format(traits hartonomous.mixture_traits, asked text,
  layer_names text[], matrices bigint[], formats text[], weights bigint[], runs bigint[]) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 5000;
COMMENT ON FUNCTION hartonomous_internal.recognized_format(hartonomous.mixture_traits, text, text[], bigint[], text[],
  bigint[], bigint[]) IS
  'the file type (mixtures()) or single format that most weights of a model''s matrices have; if several fit, '
  'the requested one, or else the smaller one; runs are the numbers of weights that must be whole blocks; NULL '
  'without matrices';

CREATE FUNCTION hartonomous_internal.fitting_format(format text, run_length bigint) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous_internal.fitting_format(text, bigint) IS
  'the format itself if a run of that length is whole blocks of it, else the fallback of llama-quantize; 22023 if '
  'there is no such format, 0A000 if it cannot be written';

CREATE FUNCTION hartonomous_internal.requires_importance(mixture text, layer_name text, format text) RETURNS boolean
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous_internal.requires_importance(text, text, text) IS
  'whether llama-quantize refuses to give a tensor of that name the format in a mixture unless its columns have '
  'importance; false if there is no such mixture, 22023 if there is no such format';

CREATE FUNCTION hartonomous_internal.is_quantizable_name(layer_name text, container text) RETURNS boolean
  AS 'MODULE_PATHNAME' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION hartonomous_internal.is_quantizable_name(text, text) IS
  'whether a tensor of that name may be quantized: by llama-quantize''s rules in GGUF models, otherwise all but biases,'
  ' norms, routers and tables of positions';

-- Follows ggml: dimensions of size 1 do not turn a vector into a matrix.
CREATE FUNCTION hartonomous_internal.is_matrix(tensor_shape bigint[]) RETURNS boolean
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN 1 < ANY (tensor_shape[1:cardinality(tensor_shape) - 1]);
COMMENT ON FUNCTION hartonomous_internal.is_matrix(bigint[]) IS
  'whether a tensor of that shape has more than one row; only such tensors are quantized';

-- Shapes have the columns last. llama-quantize looks at the third dimension only.
CREATE FUNCTION hartonomous_internal.matrix_count(tensor_shape bigint[]) RETURNS bigint
  LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 1
  RETURN CASE WHEN hartonomous_internal.is_matrix(tensor_shape)
              THEN greatest(coalesce(tensor_shape[cardinality(tensor_shape) - 2], 1), 1) ELSE 0 END;
COMMENT ON FUNCTION hartonomous_internal.matrix_count(bigint[]) IS
  'how many matrices a tensor of that shape is a stack of, such as those of the experts of a block; 0 for a vector';
