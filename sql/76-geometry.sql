-- The places of all atoms of a model in 3 bytes each (or 6, or 12) instead of two numbers, a point and a curve index.

CREATE FUNCTION hartonomous.geometry_plan(model integer, format text DEFAULT 'Q8_0') RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off SET jit = off
AS $$
DECLARE
  wrong record;
BEGIN
  IF format IS NULL THEN
    RAISE EXCEPTION 'format cannot be NULL' USING ERRCODE = '22004';
  END IF;
  format := upper(format);
  PERFORM hartonomous.encode_point(0, 0, 0, format);  -- 22023 before any work
  PERFORM hartonomous.current_revision(model);
  SELECT count(*) AS atoms, min(v.tensor_atom_id) AS first INTO wrong
    FROM hartonomous.validate_coordinates(model) v
   WHERE v.fault = 'not a number' OR v.fault = 'outside' AND (format = 'Q8_0' OR 'Infinity' IN (abs(v.x), abs(v.y), abs(v.z)));
  IF wrong.atoms > 0 THEN
    RAISE EXCEPTION '% atoms have places that % cannot hold', wrong.atoms, format
      USING ERRCODE = '22003', DETAIL = pg_catalog.format('The first is atom %s.', wrong.first),
            HINT = 'SELECT hartonomous.clamp_coordinates(model); brings them into the space.';
  END IF;
  -- Through the parent, for which readers have rights.
  RETURN QUERY EXECUTE $sql$
    WITH present AS (
      SELECT a.layer_id, count(*) AS atoms, count(a.weights_geometry) AS places, count(a.weights_geometry_q8) AS encoded,
             sum(hartonomous.weights_bytes(a.atom_data))::bigint AS bytes
        FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 GROUP BY a.layer_id),
    beside AS (
      SELECT f.layer_id, sum(f.bytes)::bigint AS bytes FROM hartonomous.stored_forms($1, hartonomous.live_base($1)) f
       GROUP BY f.layer_id)
    SELECT l.layer_id, l.layer_name, CASE WHEN p.places > 0 THEN 'encode_geometry' END,
           CASE WHEN p.places > 0 THEN jsonb_build_object('format', $2) END, coalesce(p.atoms, 0), coalesce(p.atoms, 0), s.bytes, s.bytes,
           CASE WHEN p.places > 0 THEN NULL WHEN p.encoded > 0 THEN 'already there' ELSE 'no places' END,
           jsonb_build_object('places', coalesce(p.places, 0))
      FROM hartonomous.model_layers l LEFT JOIN present p ON p.layer_id = l.layer_id LEFT JOIN beside b ON b.layer_id = l.layer_id
     CROSS JOIN LATERAL (SELECT coalesce(p.bytes, 0) + coalesce(b.bytes, 0) AS bytes) s
     WHERE l.model_id = $1 ORDER BY l.position$sql$ USING model, format;
END
$$;
COMMENT ON FUNCTION hartonomous.geometry_plan(integer, text) IS
  'what quantize_model_geometry would do, a row a tensor (see tensor_plan); details say how many places (of atoms) are to be encoded; weights stay as they are, what is saved are columns beside them; 22023 on another format, 22003 when an atom lies where it cannot follow, 42704 when there is no such model';

CREATE FUNCTION hartonomous.geometry_plan(model text, format text DEFAULT 'Q8_0') RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.geometry_plan(hartonomous.model_id(model), format);
END
$$;
COMMENT ON FUNCTION hartonomous.geometry_plan(text, text) IS 'the same for a model by its name';

CREATE FUNCTION hartonomous.plan_encoding(model integer, parameters jsonb) RETURNS SETOF hartonomous.tensor_plan
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RETURN QUERY SELECT * FROM hartonomous.geometry_plan(model, parameters ->> 'format');
END
$$;
COMMENT ON FUNCTION hartonomous.plan_encoding(integer, jsonb) IS 'geometry_plan() for quantize_model_geometry()';

CREATE FUNCTION hartonomous.report_encoding(model integer, parameters jsonb, plan hartonomous.tensor_plan[], result jsonb)
  RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 250
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  places bigint := (SELECT sum((p.details ->> 'places')::bigint) FROM unnest(plan) p);
  before bigint := result ->> 'disk_before';
  after bigint := result ->> 'disk_after';
BEGIN
  IF result IS NULL THEN
    RAISE NOTICE 'model % has no place to quantize: nothing done', model;
    RETURN;
  END IF;
  UPDATE hartonomous.model_revisions r
     SET metrics = r.metrics || jsonb_build_object('places', places, 'disk_bytes_before', before, 'disk_bytes_after', after)
   WHERE r.revision_id = (result ->> 'revision')::integer;
  RAISE NOTICE 'quantized % places to %, % -> % on disk (% %%), revision %, % s', places, parameters ->> 'format',
    hartonomous.human_bytes(before), hartonomous.human_bytes(after), to_char(100.0 * (after - before) / before, 'FMSG990.0'),
    result ->> 'revision', result ->> 'seconds';
END
$$;
COMMENT ON FUNCTION hartonomous.report_encoding(integer, jsonb, hartonomous.tensor_plan[], jsonb) IS
  'says what quantize_model_geometry() saved on disk, and keeps it with the revision; or that there was nothing to do';

-- Cancelled, killed, called twice: as run_stage().
CREATE PROCEDURE hartonomous.quantize_model_geometry(model integer, format text DEFAULT 'Q8_0',
    nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
BEGIN
  IF format IS NULL THEN
    RAISE EXCEPTION 'format cannot be NULL' USING ERRCODE = '22004';
  END IF;
  PERFORM hartonomous.encode_point(0, 0, 0, pg_catalog.upper(format));  -- 22023 before the lock
  CALL hartonomous.run_stage(model, 'quantize_model_geometry',
    pg_catalog.jsonb_build_object('format', pg_catalog.upper(format)), nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.quantize_model_geometry(integer, text, boolean) IS
  'keeps the places of a model''s atoms in weights_geometry_q8 only, in Q8_0 (3 bytes), F16 (6) or F32 (12); x, y, weights_geometry and hilbert_index become NULL, neighbours and regions go on by the index on the quantized form; says what that saves on disk; rollback_model() undoes it; 22023 on another format, 22003 when an atom lies outside the space';

CREATE PROCEDURE hartonomous.quantize_model_geometry(model text, format text DEFAULT 'Q8_0', nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
BEGIN
  CALL hartonomous.quantize_model_geometry(hartonomous.model_id(model), format, nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.quantize_model_geometry(text, text, boolean) IS 'the same for a model by its name';
