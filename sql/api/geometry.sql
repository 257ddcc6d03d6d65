-- Encodes the positions of all atoms of a model in 3, 6 or 12 bytes each, which replace two coordinates, a point and
-- the entry in the Hilbert index.

-- Cancel, crash and concurrent calls: see run_stage().
CREATE PROCEDURE hartonomous.quantize_model_geometry(model hartonomous.regmodel, format text DEFAULT 'Q8_0',
    nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
  IF format IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'format cannot be NULL',
      hint => 'Leave it out for Q8_0, or give F16 or F32.');
  END IF;
  PERFORM hartonomous.encode_point(0, 0, 0, pg_catalog.upper(format));  -- raises 22023 before the lock is taken
  CALL hartonomous_internal.run_stage(model, 'quantize_model_geometry',
    pg_catalog.jsonb_build_object('format', pg_catalog.upper(format)), nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.quantize_model_geometry(hartonomous.regmodel, text, boolean) IS
  'stores the positions of a model''s atoms in quantized_position only, in Q8_0 (3 bytes), F16 (6) or F32 (12); x, y, '
  'weights_geometry and hilbert_index become NULL, and neighbors and regions use the index on the quantized positions; '
  'reports the disk space saved; rollback_model() undoes it; 22023 if there is no such format, 22003 if an atom lies '
  'outside the space';
