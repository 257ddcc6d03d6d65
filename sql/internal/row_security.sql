-- Row-level security: a model is seen as a whole or not at all. A policy that hides some of its rows would otherwise
-- make functions take weights for zeros.

CREATE FUNCTION hartonomous_internal.model_visibility(model integer) RETURNS text
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.model_visibility(integer) IS
  'how much of a model the policies of the tables let the caller see: all, none, or the name of a table of which they '
  'hide a part';

CREATE FUNCTION hartonomous_internal.is_visible(model integer) RETURNS boolean
  LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE COST 50
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  visibility constant text := hartonomous_internal.model_visibility(model);
BEGIN
  IF visibility NOT IN ('all', 'none') THEN
    PERFORM hartonomous_internal.raise_error('42501',
      format('policies of table "%s" hide a part of model %s', visibility, model),
      hint => 'What is hidden would be taken for zeros. Policies have to show a model as a whole, or not at all: '
              'SELECT hartonomous.protect_store(); makes those that follow the policies of models.');
  END IF;
  RETURN visibility = 'all';
END
$$;
COMMENT ON FUNCTION hartonomous_internal.is_visible(integer) IS
  'whether policies let the caller see a model that models has; 42501 if they hide a part of it';
