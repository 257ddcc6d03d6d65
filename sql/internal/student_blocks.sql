-- Which blocks a student keeps, and how those before a gap make up for the blocks that are left out.

CREATE FUNCTION hartonomous_internal.protected_blocks(parent integer, wanted integer, protected_blocks integer[],
    default_blocks integer[]) RETURNS integer[]
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  present constant integer[] := hartonomous_internal.model_blocks(parent);
  protected constant integer[] := ARRAY(
    SELECT DISTINCT b FROM unnest(coalesce(protected_blocks, default_blocks)) b WHERE b = ANY (present));
BEGIN
  IF NOT protected_blocks <@ present THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('protected blocks %s are not all among the blocks %s of model "%s"',
             protected_blocks, present, parent::hartonomous.regmodel));
  END IF;
  IF wanted < cardinality(protected) THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('%s blocks are fewer than the %s that are protected', wanted, cardinality(protected)),
      detail => format('Blocks %s are protected.', array_to_string(protected, ', ')),
      hint => 'Pass other protected_blocks, or none: ''{}''.');
  END IF;
  RETURN protected;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.protected_blocks(integer, integer, integer[], integer[]) IS
  'the blocks that a student keeps in any case: those given or, for NULL, the default ones; 22023 if one does not '
  'exist, or more are protected than requested';

CREATE FUNCTION hartonomous_internal.influential_blocks(parent integer, wanted integer, protected_blocks integer[])
  RETURNS integer[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  present constant integer[] := hartonomous_internal.model_blocks(parent);
  protected constant integer[] := hartonomous_internal.protected_blocks(parent, wanted, protected_blocks,
    ARRAY[0, 1, present[cardinality(present)]]);
BEGIN
  RETURN ARRAY(SELECT c.layer_idx
                 FROM (SELECT i.layer_idx FROM hartonomous.block_influence(parent) i
                        ORDER BY i.layer_idx = ANY (protected) DESC, i.influence DESC, i.layer_idx LIMIT wanted) c
                ORDER BY c.layer_idx);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.influential_blocks(integer, integer, integer[]) IS
  'the blocks to keep: the protected ones (NULL: the first two and the last), then the most influential ones; 22023 if '
  'more are protected than requested';

-- Influence is measured again after each removal, because blocks that do the same work can each be left out, but not
-- both.
CREATE FUNCTION hartonomous_internal.influential_blocks(parent integer, wanted integer, protected_blocks integer[],
    corpus text, n_ctx integer) RETURNS integer[]
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  kept integer[] := hartonomous_internal.model_blocks(parent);
  blocks constant integer := cardinality(kept);
  protected constant integer[] := hartonomous_internal.protected_blocks(parent, wanted, protected_blocks,
    kept[:CASE WHEN blocks < 16 THEN 2 ELSE 4 END] || kept[blocks - 1:]);
  least record;
BEGIN
  WHILE cardinality(kept) > wanted LOOP
    SELECT i.layer_idx, i.influence INTO STRICT least
      FROM hartonomous.block_influence(parent, corpus, n_ctx, kept) i
     WHERE i.layer_idx <> ALL (protected) ORDER BY i.influence, i.layer_idx DESC LIMIT 1;
    kept := array_remove(kept, least.layer_idx);
    RAISE NOTICE 'block % has the least influence of %: %', least.layer_idx, cardinality(kept) + 1,
      round(least.influence::numeric, 5);
  END LOOP;
  RETURN kept;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.influential_blocks(integer, integer, integer[], text, integer) IS
  'the blocks that are left when the one with the least influence on a text is removed, again and again, but no '
  'protected one (NULL: the first two, of 16 blocks or more the first four, and the last two); 22023 if more are '
  'protected than requested, and errors of block_influence()';

-- The last matrix of a block before a gap is changed such that the block makes up for those that are left out.
CREATE FUNCTION hartonomous_internal.repair_plan(parent integer, blocks integer[], corpus text, n_ctx integer,
    damping double precision, required boolean) RETURNS hartonomous.tensor_plan[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
DECLARE
  present constant integer[] := hartonomous_internal.model_blocks(parent);
  -- Those behind which a block is left out.
  ends constant integer[] := ARRAY(SELECT b FROM unnest(blocks) b WHERE b + 1 = ANY (present)
                                    AND b + 1 <> ALL (blocks) ORDER BY b);
  plan hartonomous.tensor_plan[];
  factored text;
BEGIN
  IF (damping > 0 AND damping < 'Infinity') IS NOT TRUE THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('damping must be a number above 0, not %s', coalesce(damping::text, 'NULL')));
  ELSIF required AND blocks[1] <> present[1] THEN
    PERFORM hartonomous_internal.raise_error('22023', 'nothing can make up for the first blocks of a model',
      format('Block %s is the first one that is kept.', blocks[1]),
      hint => 'Protect block 0, or pass repair => false.');
  END IF;
  plan := ARRAY(
    SELECT ROW(l.layer_id, l.layer_name, 'select',
               jsonb_strip_nulls(jsonb_build_object('kept_blocks', blocks, 'before', l.layer_idx, 'corpus', corpus,
                                                    'n_ctx', n_ctx, 'damping', damping)),
               NULL, NULL, NULL, NULL, NULL, NULL)::hartonomous.tensor_plan
      FROM hartonomous.model_layers l
     WHERE l.model_id = parent AND l.layer_idx = ANY (ends)
       AND l.layer_name IN (format('blk.%s.ffn_down.weight', l.layer_idx),
                            format('blk.%s.ffn_down_exps.weight', l.layer_idx))
     ORDER BY l.position);
  SELECT p.layer_name INTO factored
    FROM unnest(plan) p
    JOIN hartonomous_internal.stored_forms(parent, hartonomous_internal.live_base(parent)) f USING (layer_id) LIMIT 1;
  IF cardinality(plan) > 0 AND NOT required
     AND 'repair' = ANY ((hartonomous_internal.network_sizes(parent)).fixed) THEN
    RETURN '{}';
  ELSIF factored IS NOT NULL THEN
    IF required THEN
      PERFORM hartonomous_internal.raise_error('0A000',
        format('tensor "%s" is factored and cannot be changed', factored),
        hint => 'Pass repair => false, or leave blocks out before the model is factored.');
    END IF;
    RETURN '{}';
  END IF;
  RETURN plan;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.repair_plan(integer, integer[], text, integer, double precision, boolean) IS
  'a plan for a student with only some blocks, the last one before each gap of which is repaired by a corpus; {} if a '
  'tensor is factored or the architecture does not allow it, unless that is required: then 0A000, and 22023 if the '
  'first block is left out; 22023 if damping '
  'is not above 0';
