-- Calibration: what the inputs of a model's matrices are when it reads a text.

CREATE FUNCTION hartonomous.add_calibration_set(name text, text text) RETURNS bytea
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  hash bytea;
BEGIN
  IF name IS NULL OR name = '' OR text IS NULL OR text = '' THEN
    PERFORM hartonomous_internal.raise_error('22004', 'a calibration set needs a name and a text');
  END IF;
  PERFORM hartonomous.create_store();
  PERFORM hartonomous_internal.refuse_common_passage('calibration', name, add_calibration_set.text);
  INSERT INTO hartonomous.calibration_sets (calibration_set, text) VALUES (name, add_calibration_set.text)
    ON CONFLICT (calibration_set) DO NOTHING;
  SELECT s.text_sha256 INTO STRICT hash FROM hartonomous.calibration_sets s WHERE s.calibration_set = name;
  -- Statistics of different texts under the same name could not be told apart.
  IF hash IS DISTINCT FROM hartonomous_internal.text_sha256(add_calibration_set.text) THEN
    PERFORM hartonomous_internal.raise_error('42710',
      format('calibration set "%s" already exists with another text', name),
      hint => 'Choose another name, or DELETE it, with its statistics, from hartonomous.calibration_sets.');
  END IF;
  RETURN hash;
END
$$;
COMMENT ON FUNCTION hartonomous.add_calibration_set(text, text) IS
  'stores a text to calibrate models on; returns its SHA-256; 42710 if that name has another text, 22004 if the text '
  'is empty, 22023 if it has a passage in common with a validation set';
