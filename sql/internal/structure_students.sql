-- Students with fewer structures: which are kept, the plan that leaves only these, metadata, and refitting.

-- The shape shrinks in the dimension that the structures share: the last one, or the first one of their rows.
CREATE FUNCTION hartonomous_internal.structure_plan(model integer, kind text, structures integer,
    kept hartonomous_internal.kept_structures[], refit jsonb DEFAULT '{}') RETURNS hartonomous.tensor_plan[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN ARRAY(
    SELECT ROW(t.layer_id, t.layer_name, 'select',
               jsonb_build_object(t.side, n.places, 'shape', CASE t.side
                 WHEN 'rows' THEN (t.tensor_shape[1] / structures * cardinality(k.numbers)) || t.tensor_shape[2:]
                 ELSE t.tensor_shape[:cardinality(t.tensor_shape) - 1]
                      || (t.length / structures * cardinality(k.numbers)) END)
                 || CASE WHEN t.side = 'columns' AND cardinality(t.tensor_shape) > 1 THEN refit ELSE '{}' END,
               NULL, NULL, NULL, NULL, NULL, NULL)::hartonomous.tensor_plan
      FROM hartonomous_internal.structure_tensors(model, kind) t
      JOIN unnest(kept) k ON k.block = t.block
      CROSS JOIN LATERAL (
        SELECT jsonb_agg(s.structure * (t.length / structures) + u.part ORDER BY s.structure, u.part) AS places
          FROM unnest(k.numbers) s (structure), generate_series(0, t.length / structures - 1) u (part)) n
     WHERE cardinality(k.numbers) < structures);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.structure_plan(integer, text, integer,
  hartonomous_internal.kept_structures[], jsonb) IS
  'a plan for a student that has only some structures of a kind, whose columns are refitted if refit has the arguments '
  'for that; tensors of blocks that keep all are not in it';

-- Sets a key, or adds it. A list with one entry per block gets the number in every entry.
CREATE FUNCTION hartonomous_internal.with_size(metadata jsonb, key text, size integer) RETURNS jsonb
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  place text;
  value jsonb;
BEGIN
  SELECT (e.n - 1)::text, e.kv -> 'value' INTO place, value
    FROM jsonb_array_elements(metadata -> 'kv') WITH ORDINALITY e (kv, n) WHERE e.kv ->> 'key' = with_size.key;
  IF place IS NULL THEN
    RETURN jsonb_set(metadata, '{kv}', (metadata -> 'kv')
      || jsonb_build_array(jsonb_build_object('key', key, 'type', 'u32', 'value', size)));
  END IF;
  RETURN jsonb_set(metadata, ARRAY['kv', place, 'value'], CASE jsonb_typeof(value)
    WHEN 'array' THEN (SELECT jsonb_agg(size) FROM jsonb_array_elements(value)) ELSE to_jsonb(size) END);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.with_size(jsonb, text, integer) IS
  'metadata of a GGUF model in which a key has this number, in every entry if it is a list';

CREATE FUNCTION hartonomous_internal.structure_metadata(metadata jsonb, kind text,
    sizes hartonomous_internal.network_sizes, keep integer) RETURNS jsonb
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  changed record;
BEGIN
  FOR changed IN
    SELECT c.key, c.size
      FROM (VALUES ('neurons', 'feed_forward_length', keep),
                   ('heads', 'attention.head_count', keep * (sizes.heads / nullif(sizes.kv_heads, 0))),
                   ('heads', 'attention.head_count_kv', keep),
                   -- Otherwise it would be the width divided by the number of heads.
                   ('heads', 'attention.key_length', sizes.head_size),
                   ('heads', 'attention.value_length', sizes.head_size),
                   ('experts', 'expert_count', keep),
                   ('experts', 'expert_used_count', least(keep, sizes.experts_used))) c (of_kind, key, size)
     WHERE c.of_kind = kind
  LOOP
    metadata := hartonomous_internal.with_size(metadata, sizes.architecture || '.' || changed.key, changed.size);
  END LOOP;
  RETURN metadata;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.structure_metadata(jsonb, text, hartonomous_internal.network_sizes,
  integer) IS
  'metadata of a model that keeps so many structures of a kind in each block';

CREATE FUNCTION hartonomous_internal.structures_to_keep(model integer, kind text, structures integer,
    keep_ratio double precision, multiple integer) RETURNS integer
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  step integer := multiple;
BEGIN
  PERFORM hartonomous_internal.check_ratio(keep_ratio);
  IF (multiple BETWEEN 1 AND structures) IS FALSE THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('multiple must be from 1 to %s, the number of %s, not %s', structures, kind, multiple));
  ELSIF multiple IS NULL AND kind = 'neurons' THEN
    -- Rows of ffn_down must be whole blocks of their format, and should fit Q8_0 later on.
    SELECT max(CASE WHEN structures % f.block_weights = 0 THEN f.block_weights ELSE 1 END) INTO step
      FROM (SELECT 'Q8_0' AS format
            UNION
            SELECT s.format FROM hartonomous_internal.structure_formats(model, kind) s) u
      JOIN hartonomous.formats() f USING (format);
  END IF;
  step := coalesce(step, 1);
  RETURN least(structures, greatest(1, round(keep_ratio * structures / step)) * step);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.structures_to_keep(integer, text, integer, double precision, integer) IS
  'the number of structures of each block that is nearest to a share of them and a multiple of a number (NULL: of '
  'neurons that of the weights in a block of ffn_down''s format, at least 32, else 1); 22023 if the share is not in '
  '(0, 1], or the number out of range';

CREATE FUNCTION hartonomous_internal.structure_formats(model integer, kind text) RETURNS TABLE (format text)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 3
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY EXECUTE hartonomous_internal.on_atoms_of(model, $sql$
    SELECT DISTINCT hartonomous.weights_format(a.atom_data)
      FROM hartonomous.tensor_atoms a
     WHERE a.model_id = $1 AND a.layer_id IN (
       SELECT t.layer_id FROM hartonomous_internal.structure_tensors($1, $2) t
        WHERE t.side = 'columns' AND cardinality(t.tensor_shape) > 1)$sql$) USING model, kind;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.structure_formats(integer, text) IS
  'the formats of the matrices whose columns belong to structures of a kind';

-- What is decoded from the tokens of the corpus must be the same pieces of text before and after.
CREATE FUNCTION hartonomous_internal.check_trimmed(parent integer, student integer, kept integer[], corpus text)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF hartonomous.tokenize(parent, corpus)
     <> ARRAY(SELECT kept[t.token + 1] FROM unnest(hartonomous.tokenize(student, corpus)) WITH ORDINALITY t (token, n)
               ORDER BY t.n) THEN
    PERFORM hartonomous_internal.raise_error('55000', 'the smaller vocabulary does not give the tokens of the corpus',
      hint => 'Please report this, with the metadata of the model.');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_trimmed(integer, integer, integer[], text) IS
  '55000 unless a student with only the kept tokens of its parent has the same tokens for a text';

-- A set that is not named is the only one there is.
CREATE FUNCTION hartonomous_internal.structure_calibration(model integer, calibration_set text) RETURNS text
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  live constant integer := hartonomous_internal.current_revision(model);
  sets text[];
BEGIN
  sets := ARRAY(SELECT c.calibration_set FROM hartonomous_internal.calibrations_of(model, calibration_set) c
                 WHERE hartonomous_internal.calibrated_revision(model, live, c.calibration_set) IS NOT NULL);
  IF calibration_set IS NULL AND cardinality(sets) > 1 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('model "%s" has statistics of several calibration sets', model::hartonomous.regmodel),
      hint => format('Pass calibration_set. There are %s.',
                     (SELECT string_agg(format('"%s"', u.name), ', ') FROM unnest(sets[1:10]) u (name))));
  ELSIF calibration_set IS NOT NULL AND cardinality(sets) = 0 THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('the live revision of model "%s" has no statistics of calibration set "%s"', model::hartonomous.regmodel,
             calibration_set),
      hint => format('CALL hartonomous.collect_calibration(%L, %L); collects them.', model::hartonomous.regmodel,
                     calibration_set));
  END IF;
  RETURN sets[1];
END
$$;
COMMENT ON FUNCTION hartonomous_internal.structure_calibration(integer, text) IS
  'the calibration set whose statistics of the live revision are used: the named one or the only one, NULL if there is '
  'none; 55000, with the call to make, if the named one has no such statistics, 22023 if there are several';

-- Gram matrices are used wherever there are any, unless refit is false.
CREATE FUNCTION hartonomous_internal.refit_arguments(model integer, kind text, calibration_set text, refit boolean,
    damping double precision) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
DECLARE
  live constant integer := hartonomous_internal.current_revision(model);
  layers constant bigint[] := ARRAY(
    SELECT t.layer_id FROM hartonomous_internal.structure_tensors(model, kind) t
     WHERE t.side = 'columns' AND cardinality(t.tensor_shape) > 1);
  revision integer;
  known boolean;
  factored boolean;
BEGIN
  IF (damping > 0 AND damping < 'Infinity') IS NOT TRUE THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('damping must be a number above 0, not %s', coalesce(damping::text, 'NULL')));
  END IF;
  revision := hartonomous_internal.calibrated_revision(model, live, calibration_set);
  known := cardinality(layers) > 0 AND NOT EXISTS (
    SELECT FROM unnest(layers) l (id)
     WHERE NOT EXISTS (SELECT FROM hartonomous.calibration_stats s
                        WHERE s.model_id = model AND s.revision_id = revision AND s.layer_id = l.id
                          AND s.calibration_set = refit_arguments.calibration_set AND s.gram_layer_id IS NOT NULL));
  factored := EXISTS (SELECT FROM hartonomous_internal.stored_forms(model, hartonomous_internal.live_base(model)) f
                       WHERE f.layer_id = ANY (layers));
  IF refit AND NOT known THEN
    PERFORM hartonomous_internal.raise_error('55000', 'there are no Gram matrices to refit by',
      hint => format('CALL hartonomous.collect_calibration(%L, %L); collects them, of the live revision.',
                     model::hartonomous.regmodel, coalesce(calibration_set, 'name of a set')));
  ELSIF refit AND factored THEN
    PERFORM hartonomous_internal.raise_error('0A000', 'factored tensors cannot be refitted');
  END IF;
  RETURN CASE WHEN coalesce(refit, true) AND known AND NOT factored
              THEN jsonb_build_object('calibration_set', calibration_set, 'revision', revision, 'damping', damping)
              ELSE '{}' END;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.refit_arguments(integer, text, text, boolean, double precision) IS
  'the arguments of a selection that refits columns by the Gram matrices of the live revision; {} if there are none, '
  'or a tensor is factored, unless refit is true: then 55000 and 0A000; 22023 if damping is not above 0';

-- What a smaller model keeps, and how: for a student, or for another revision of the model itself.
CREATE FUNCTION hartonomous_internal.choose_structures(model integer, kind text, keep_ratio double precision,
    multiple integer, calibration_set text, refit boolean, damping double precision,
    OUT plan hartonomous.tensor_plan[], OUT structures integer, OUT keep integer, OUT used_set text,
    OUT refitting jsonb, OUT sizes hartonomous_internal.network_sizes)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  sizes := hartonomous_internal.check_structures(model, kind);
  IF kind = 'heads' AND sizes.architecture IN ('qwen2', 'qwen2moe', 'starcoder2') THEN
    PERFORM hartonomous_internal.raise_error('0A000', format('a %s model cannot have fewer heads', sizes.architecture),
      'llama.cpp loads only models of this architecture whose heads together are as wide as the embedding.');
  END IF;
  structures := hartonomous_internal.structure_count(kind, sizes);
  keep := hartonomous_internal.structures_to_keep(model, kind, structures, keep_ratio, multiple);
  used_set := hartonomous_internal.structure_calibration(model, calibration_set);
  refitting := hartonomous_internal.refit_arguments(model, kind, used_set, refit, damping);
  plan := hartonomous_internal.structure_plan(model, kind, structures,
    hartonomous_internal.best_structures(model, kind, structures, keep, used_set), refitting);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.choose_structures(integer, text, double precision, integer, text, boolean,
  double precision) IS
  'which neurons, groups of heads or experts are kept if that is a share of those of every block, the plan that leaves '
  'only these, their number, that of all, and how columns are refitted; errors of the functions that extract by each '
  'kind';

CREATE FUNCTION hartonomous_internal.create_structure_student(parent integer, kind text, keep_ratio double precision,
    multiple integer, new_model_name text, calibration_set text, refit boolean, damping double precision,
    nowait boolean) RETURNS integer
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  choice record;
  student integer;
BEGIN
  PERFORM hartonomous_internal.check_ratio(keep_ratio);
  PERFORM hartonomous_internal.lock_parent(parent, nowait);
  SELECT c.plan, c.structures, c.keep, c.used_set, c.refitting, c.sizes INTO choice
    FROM hartonomous_internal.choose_structures(parent, kind, keep_ratio, multiple, calibration_set, refit,
                                                damping) c;
  student := hartonomous_internal.create_student(parent,
    coalesce(new_model_name, hartonomous_internal.student_name(parent, format('%s_%s', choice.keep, kind))),
    jsonb_build_object('strategy', kind, 'keep_ratio', keep_ratio, 'kept', choice.keep, 'of', choice.structures,
                       'calibration_set', choice.used_set, 'refit', choice.refitting <> '{}', 'damping',
                       choice.refitting -> 'damping'),
    -- An empty plan would be one that leaves nothing.
    plan => nullif(choice.plan, '{}'),
    new_metadata => hartonomous_internal.structure_metadata(hartonomous_internal.gguf_metadata_of(parent), kind,
                                                            choice.sizes, choice.keep));
  PERFORM hartonomous_internal.network_sizes(student);
  RETURN student;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.create_structure_student(integer, text, double precision, integer, text, text,
  boolean, double precision, boolean) IS
  'a student that keeps the same share of the neurons, groups of heads or experts of every block; returns its number; '
  'errors of the functions that extract by each kind';
