-- The places of all atoms of a model in 3 bytes each (or 6, or 12) instead of two numbers, a point and a curve index.

-- Cancelled or killed: the tensors done stay, and the same call goes on; the live model is untouched until the swap.
-- A second caller waits for the model's lock, or with nowait fails with 55P03.
CREATE PROCEDURE hartonomous.quantize_model_geometry(model integer, format text DEFAULT 'Q8_0',
    nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
DECLARE
  commits boolean := hartonomous.can_commit();
  started pg_catalog.timestamptz := pg_catalog.clock_timestamp();
  places bigint;
  before bigint;
  after bigint;
  run bigint;
  revision integer;
BEGIN
  IF format IS NULL THEN
    RAISE EXCEPTION 'format cannot be NULL' USING ERRCODE = '22004';
  END IF;
  format := pg_catalog.upper(format);
  PERFORM hartonomous.encode_point(0, 0, 0, format);  -- 22023 before any work
  PERFORM hartonomous.current_revision(model);
  PERFORM hartonomous.lock_model(model, nowait, commits);
  places := hartonomous.plain_places(model, format);
  IF places OPERATOR(pg_catalog.=) 0 THEN
    RAISE NOTICE 'model % has no place to quantize: nothing done', model;
    IF commits THEN
      PERFORM hartonomous.unlock_model(model);
    END IF;
    RETURN;
  END IF;
  before := pg_catalog.pg_total_relation_size(hartonomous.live_partition(model));
  run := hartonomous.start_run(model, 'quantize_geometry', 'rewrite', pg_catalog.jsonb_build_object('format', format));
  INSERT INTO hartonomous.compression_steps (run_id, layer_id, geometry_format)
    SELECT run, l.layer_id, format FROM hartonomous.model_layers l WHERE l.model_id OPERATOR(pg_catalog.=) model
    ON CONFLICT DO NOTHING;
  CALL hartonomous.execute_run(run);
  revision := hartonomous.current_revision(model);
  after := pg_catalog.pg_total_relation_size(hartonomous.live_partition(model));
  UPDATE hartonomous.model_revisions r
     SET metrics = r.metrics OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object(
           'places', places, 'disk_bytes_before', before, 'disk_bytes_after', after)
   WHERE r.revision_id OPERATOR(pg_catalog.=) revision;
  RAISE NOTICE 'quantized % places to %, % -> % on disk (% %%), revision %, % s', places, format,
    hartonomous.human_bytes(before), hartonomous.human_bytes(after),
    pg_catalog.to_char(100.0 OPERATOR(pg_catalog.*) (after OPERATOR(pg_catalog.-) before) OPERATOR(pg_catalog./) before, 'FMSG990.0'),
    revision, pg_catalog.round(EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) started), 1);
  IF commits THEN
    COMMIT;
    PERFORM hartonomous.unlock_model(model);
  END IF;
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

CREATE FUNCTION hartonomous.plain_places(model integer, format text) RETURNS bigint
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  wrong record;
  places bigint;
BEGIN
  SELECT count(*) AS atoms, min(v.tensor_atom_id) AS first INTO wrong
    FROM hartonomous.validate_coordinates(model) v
   WHERE v.fault = 'not a number' OR v.fault = 'outside' AND (format = 'Q8_0' OR 'Infinity' IN (abs(v.x), abs(v.y), abs(v.z)));
  IF wrong.atoms > 0 THEN
    RAISE EXCEPTION '% atoms have places that % cannot hold', wrong.atoms, format
      USING ERRCODE = '22003', DETAIL = format('The first is atom %s.', wrong.first),
            HINT = 'SELECT hartonomous.clamp_coordinates(model); brings them into the space.';
  END IF;
  EXECUTE 'SELECT count(*) FROM hartonomous.tensor_atoms a WHERE a.model_id = $1 AND a.weights_geometry IS NOT NULL'
    INTO places USING model;
  RETURN places;
END
$$;
COMMENT ON FUNCTION hartonomous.plain_places(integer, text) IS
  'how many atoms of a model have places that are not quantized; 22003 when some lie where the format cannot follow';
