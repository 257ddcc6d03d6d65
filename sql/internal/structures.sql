-- Structured pruning: which rows and columns of which tensors a structure of a network is (a neuron, a group of heads,
-- an expert, a token), and how structures are ranked.

CREATE TYPE hartonomous_internal.network_sizes AS (
  architecture text, blocks integer, heads integer, kv_heads integer, head_size integer, feed_forward integer,
  experts integer, experts_used integer, vocabulary integer, fixed text[]
);
COMMENT ON TYPE hartonomous_internal.network_sizes IS
  'the sizes of a language model; experts are 0 if it has none; fixed: kinds of structures that it cannot do without, '
  'and "repair" if no block can make up for others';

CREATE FUNCTION hartonomous_internal.network_sizes(model integer) RETURNS hartonomous_internal.network_sizes
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous_internal.network_sizes(integer) IS
  'the sizes of a language model, all of whose tensors exist and have the shapes that these imply; 0A000 if its '
  'architecture is not supported, 55000 if a tensor or key is missing or does not fit, 42704 if there is no such model';

CREATE FUNCTION hartonomous_internal.matrix_energies(model integer, tensor text, matrices integer,
    OUT of_rows double precision[], OUT of_columns double precision[])
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous_internal.matrix_energies(integer, text, integer) IS
  'the sums of the squares of the weights in each row of a live tensor, and in each column of each of so many matrices '
  'that its rows are; 42704 if there is no such tensor, 22023 if it is not that many matrices, 22004 on NULL';

CREATE FUNCTION hartonomous_internal.trim_vocabulary(model integer, corpus text, OUT kept integer[],
    OUT metadata jsonb)
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE PARALLEL UNSAFE COST 5000;
COMMENT ON FUNCTION hartonomous_internal.trim_vocabulary(integer, text) IS
  'the tokens that a vocabulary needs to give a text the same tokens and to encode any other (ascending), and the '
  'metadata of a model with only those; 22023 if the model has no tokenizer, 0A000 if that is not supported, 22P03 if '
  'its metadata is malformed, 53200 if the text or the vocabulary is too large, 42704, 22004';

CREATE FUNCTION hartonomous_internal.structure_count(kind text, sizes hartonomous_internal.network_sizes)
  RETURNS integer
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  CASE kind
    WHEN 'neurons' THEN RETURN CASE WHEN sizes.experts = 0 THEN sizes.feed_forward ELSE 0 END;
    WHEN 'heads' THEN RETURN sizes.kv_heads;
    WHEN 'experts' THEN RETURN sizes.experts;
    WHEN 'vocabulary' THEN RETURN sizes.vocabulary;
    ELSE
      PERFORM hartonomous_internal.raise_error('22023', format('unknown kind "%s"', coalesce(kind, 'NULL')),
        hint => 'Kinds are "neurons", "heads" and "experts".');
  END CASE;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.structure_count(text, hartonomous_internal.network_sizes) IS
  'how many structures of a kind a block (of the vocabulary: a model) has; 22023 if there is no such kind';

-- The tensors of the supported architectures. The rows or columns of each are shared out evenly among the structures,
-- in their order: heads that share keys and values lie next to each other, and so do the rows of an expert.
CREATE FUNCTION hartonomous_internal.structure_parts(kind text)
  RETURNS TABLE (tensor text, side text)
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 50 ROWS 7
BEGIN ATOMIC
  SELECT p.tensor, p.side
    FROM (VALUES ('neurons', 'ffn_gate.weight', 'rows'), ('neurons', 'ffn_up.weight', 'rows'),
                 ('neurons', 'ffn_down.weight', 'columns'), ('neurons', 'ffn_gate.bias', 'columns'),
                 ('neurons', 'ffn_up.bias', 'columns'),
                 ('heads', 'attn_q.weight', 'rows'), ('heads', 'attn_k.weight', 'rows'),
                 ('heads', 'attn_v.weight', 'rows'), ('heads', 'attn_output.weight', 'columns'),
                 ('heads', 'attn_q.bias', 'columns'), ('heads', 'attn_k.bias', 'columns'),
                 ('heads', 'attn_v.bias', 'columns'), ('heads', 'attn_sinks.weight', 'columns'),
                 ('experts', 'ffn_gate_inp.bias', 'columns'), ('experts', 'ffn_gate_exps.bias', 'rows'),
                 ('experts', 'ffn_up_exps.bias', 'rows'), ('experts', 'ffn_down_exps.bias', 'rows'),
                 ('experts', 'ffn_gate_inp.weight', 'rows'), ('experts', 'ffn_gate_exps.weight', 'rows'),
                 ('experts', 'ffn_up_exps.weight', 'rows'), ('experts', 'ffn_down_exps.weight', 'rows'),
                 ('vocabulary', 'token_embd.weight', 'rows'), ('vocabulary', 'output.weight', 'rows'),
                 ('vocabulary', 'output.bias', 'columns')) p (of_kind, tensor, side)
   WHERE p.of_kind = kind;
END;
COMMENT ON FUNCTION hartonomous_internal.structure_parts(text) IS
  'the tensors that structures of a kind have a part in, without "blk.N.", and whether it is their rows or columns; '
  'a vector has one row';

CREATE FUNCTION hartonomous_internal.structure_tensors(model integer, kind text)
  RETURNS TABLE (block integer, layer_id bigint, layer_name text, side text, tensor_shape bigint[], length bigint)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    SELECT l.layer_idx, l.layer_id, l.layer_name, p.side, l.tensor_shape,
           CASE p.side WHEN 'rows' THEN l.parameter_count / l.row_length ELSE l.row_length END
      FROM hartonomous.model_layers l
      JOIN hartonomous_internal.structure_parts(kind) p
        ON l.layer_name = CASE WHEN l.layer_idx < 0 THEN p.tensor ELSE 'blk.' || l.layer_idx || '.' || p.tensor END
     WHERE l.model_id = model AND l.row_length > 0
     ORDER BY l.position;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.structure_tensors(integer, text) IS
  'the tensors of a model that structures of a kind have a part in, the side, and how many rows or columns it has';

-- Checks a request for structures; returns the sizes of the model.
CREATE FUNCTION hartonomous_internal.check_structures(model integer, kind text)
  RETURNS hartonomous_internal.network_sizes
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  sizes constant hartonomous_internal.network_sizes := hartonomous_internal.network_sizes(model);
  structures constant integer := hartonomous_internal.structure_count(kind, sizes);
  unfit text;
BEGIN
  IF kind = ANY (sizes.fixed) THEN
    PERFORM hartonomous_internal.raise_error('0A000',
      format('%s of a model of architecture %s cannot be removed', kind, sizes.architecture));
  ELSIF structures = 0 THEN
    PERFORM hartonomous_internal.raise_error('22023',
      format('model "%s" has no %s that can be removed', model::hartonomous.regmodel, kind),
      CASE WHEN kind = 'neurons' THEN 'Its feed-forward networks are experts.' END);
  END IF;
  SELECT t.layer_name INTO unfit FROM hartonomous_internal.structure_tensors(model, kind) t
   WHERE t.length % structures <> 0 LIMIT 1;
  IF unfit IS NOT NULL THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('tensor "%s" cannot be shared out among %s %s', unfit, structures, kind));
  END IF;
  RETURN sizes;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_structures(integer, text) IS
  'the sizes of a model that has structures of a kind; 22023 if it has none, or there is no such kind, 0A000 if they '
  'cannot be removed, 55000 if its tensors do not fit';

-- Without any activations, a structure is worth the product of the norms of its parts: a neuron whose output nobody
-- reads contributes as little as one that is never active.
CREATE FUNCTION hartonomous_internal.structure_norms(model integer, kind text, structures integer)
  RETURNS TABLE (block integer, structure integer, score double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    WITH parts AS (
      SELECT t.block, t.layer_id, ((e.n - 1) / (t.length / structures))::integer AS structure, sum(e.energy) AS energy
        FROM hartonomous_internal.structure_tensors(model, kind) t
        CROSS JOIN LATERAL hartonomous_internal.matrix_energies(model, t.layer_name, 1) m
        CROSS JOIN LATERAL unnest(CASE t.side WHEN 'rows' THEN m.of_rows ELSE m.of_columns END)
          WITH ORDINALITY e (energy, n)
       WHERE cardinality(t.tensor_shape) > 1 AND t.layer_name LIKE '%.weight'
       GROUP BY 1, 2, 3)
    SELECT p.block, p.structure,
           CASE WHEN bool_or(p.energy = 0) THEN 0 ELSE exp(sum(ln(nullif(p.energy, 0))) / 2) END
      FROM parts p GROUP BY p.block, p.structure;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.structure_norms(integer, text, integer) IS
  'the score of each structure from weights alone: the product of the Frobenius norms of its parts of matrices';

-- The matrix that writes what structures of a kind contribute: its input has the numbers that they are made of.
CREATE FUNCTION hartonomous_internal.writing_tensor(kind text) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1
  RETURN CASE kind WHEN 'neurons' THEN 'ffn_down.weight' WHEN 'heads' THEN 'attn_output.weight'
                   WHEN 'experts' THEN 'ffn_down_exps.weight' END;
COMMENT ON FUNCTION hartonomous_internal.writing_tensor(text) IS
  'the tensor of a block, without "blk.N.", through which structures of a kind write to the residual stream';

-- The energy of a structure is the sum over the tokens of a text and over its columns j of (x_j * ||W_:,j||)^2. Inputs
-- of experts count only for the tokens for which the router chose them.
CREATE FUNCTION hartonomous_internal.structure_energies(model integer, kind text, structures integer,
    calibration_set text)
  RETURNS TABLE (block integer, structure integer, score double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  revision constant integer := hartonomous_internal.calibrated_revision(model,
    hartonomous_internal.current_revision(model), calibration_set);
  matrix record;
  inputs real[];
  norms double precision[];
  weights double precision[];
BEGIN
  FOR matrix IN
    SELECT t.block, t.layer_id, t.layer_name FROM hartonomous_internal.structure_tensors(model, kind) t
     WHERE t.layer_name LIKE '%.' || hartonomous_internal.writing_tensor(kind)
  LOOP
    SELECT s.sums_of_squares::real[], s.router_weighted_norms INTO inputs, norms
      FROM hartonomous.calibration_stats s
     WHERE s.model_id = model AND s.revision_id = revision AND s.layer_id = matrix.layer_id
       AND s.calibration_set = structure_energies.calibration_set;
    IF kind = 'experts' AND norms IS NOT NULL THEN
      IF cardinality(norms) <> structures OR (0 <= ALL (norms) AND 'Infinity' > ALL (norms)) IS NOT TRUE THEN
        PERFORM hartonomous_internal.raise_error('55000',
          format('the router-weighted norms of tensor "%s" are not %s numbers, zero or more', matrix.layer_name,
                 structures),
          hint => format('CALL hartonomous.collect_calibration(%L, %L); collects them again, after they are deleted.',
                         model::hartonomous.regmodel, calibration_set));
      END IF;
      RETURN QUERY SELECT matrix.block, e.n::integer - 1, e.norm FROM unnest(norms) WITH ORDINALITY e (norm, n);
      CONTINUE;
    END IF;
    SELECT m.of_columns INTO STRICT weights
      FROM hartonomous_internal.matrix_energies(model, matrix.layer_name,
        CASE kind WHEN 'experts' THEN structures ELSE 1 END) m;
    IF cardinality(inputs) IS DISTINCT FROM cardinality(weights) THEN
      PERFORM hartonomous_internal.raise_error('55000',
        format('there are no statistics of the input of tensor "%s" in the live revision', matrix.layer_name),
        hint => format('CALL hartonomous.collect_calibration(%L, %L); collects them.',
                       model::hartonomous.regmodel, calibration_set));
    END IF;
    RETURN QUERY
      SELECT matrix.block, ((e.n - 1) / (cardinality(weights) / structures))::integer, sum(e.input * e.weight)
        FROM unnest(inputs::double precision[], weights) WITH ORDINALITY e (input, weight, n) GROUP BY 2;
  END LOOP;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.structure_energies(integer, text, integer, text) IS
  'the score of each structure by what it writes to the residual stream when the text of a calibration set is read: of '
  'experts the sum of the norms, weighted by the router, of others the energy, as if their numbers were '
  'independent (of '
  'experts, too, where only an importance matrix was imported); 55000, with the call to make, if the live revision has '
  'no statistics of that set';

-- The scores that functions use unless told otherwise.
CREATE FUNCTION hartonomous_internal.structure_ranking(model integer, kind text, structures integer,
    calibration_set text)
  RETURNS TABLE (block integer, structure integer, score double precision)
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 10000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF calibration_set IS NULL THEN
    RETURN QUERY SELECT * FROM hartonomous_internal.structure_norms(model, kind, structures);
  ELSE
    RETURN QUERY SELECT * FROM hartonomous_internal.structure_energies(model, kind, structures, calibration_set);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.structure_ranking(integer, text, integer, text) IS
  'the score of each structure by its energy on a calibration set or, without one, by its weights alone';

CREATE TYPE hartonomous_internal.kept_structures AS (block integer, numbers integer[]);
COMMENT ON TYPE hartonomous_internal.kept_structures IS
  'the structures of a block that are kept, ascending from 0; block -1: those outside blocks';

CREATE FUNCTION hartonomous_internal.best_structures(model integer, kind text, structures integer, keep integer,
    calibration_set text)
  RETURNS hartonomous_internal.kept_structures[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN ARRAY(
    SELECT ROW(r.block, array_agg(r.structure ORDER BY r.structure))::hartonomous_internal.kept_structures
      FROM (SELECT s.block, s.structure,
                   row_number() OVER (PARTITION BY s.block ORDER BY s.score DESC, s.structure) AS place
              FROM hartonomous_internal.structure_ranking(model, kind, structures, calibration_set) s) r
     WHERE r.place <= keep GROUP BY r.block ORDER BY r.block);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.best_structures(integer, text, integer, integer, text) IS
  'the structures with the highest scores, as many in each block; of equal ones the first';

CREATE FUNCTION hartonomous_internal.check_structure(model integer, parent integer) RETURNS void
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  IF (SELECT r.structure_id FROM hartonomous.model_revisions r WHERE r.revision_id = parent)
     IS DISTINCT FROM hartonomous_internal.live_structure(model)
     AND EXISTS (SELECT FROM hartonomous_internal.layers_of_revision(parent) b
                   JOIN hartonomous.model_layers l ON l.layer_id = b.layer_id
                  WHERE l.tensor_shape <> b.tensor_shape) THEN
    PERFORM hartonomous_internal.network_sizes(model);
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.check_structure(integer, integer) IS
  '55000 if the live tensors of a model, whose shapes have changed since a revision, do not fit together';
