-- Runs plans made by users: the plan is checked before anything is written, then it is run like that of any stage.

CREATE FUNCTION hartonomous.plan_from(relation regclass) RETURNS hartonomous.tensor_plan[]
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1
AS $$
#variable_conflict use_variable
DECLARE
  plan hartonomous.tensor_plan[];
BEGIN
  IF relation IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'plan_from() needs a table or view',
      hint => 'Its columns have the names of those of hartonomous.tensor_plan.');
  ELSIF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = relation) THEN
    PERFORM hartonomous_internal.raise_error('42P01', format('table %s does not exist', relation::oid));
  END IF;
  -- t alone would be a column of that name, if there is one.
  EXECUTE format(
    'SELECT coalesce(array_agg(jsonb_populate_record(NULL::hartonomous.tensor_plan, to_jsonb(t.*))), ''{}'') FROM %s t',
    relation) INTO plan;
  RETURN plan;
END
$$;
COMMENT ON FUNCTION hartonomous.plan_from(regclass) IS
  'the rows of a table or view as a plan for run_plan(): columns have the names of tensor_plan, missing ones are NULL, '
  'others are ignored; 22004 on NULL, 42P01 if there is no such table';

-- Cancel, crash and concurrent calls: see run_stage(). Repeating the call with the same plan resumes a stopped run.
CREATE PROCEDURE hartonomous.run_plan(model hartonomous.regmodel, stage text, plan hartonomous.tensor_plan[],
    method text DEFAULT 'auto', dry_run boolean DEFAULT false, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
  IF dry_run IS NULL THEN
    PERFORM hartonomous_internal.raise_error('22004', 'dry_run cannot be NULL',
      hint => 'Leave it out for false; with true, the call only reports what it would do.');
  END IF;
  CALL hartonomous_internal.run_stage(model, 'run_plan', hartonomous_internal.plan_parameters(stage, plan), nowait,
    method, dry_run, plan);
END
$$;
COMMENT ON PROCEDURE hartonomous.run_plan(hartonomous.regmodel, text, hartonomous.tensor_plan[], text, boolean,
  boolean) IS
  'carries out a plan that was returned by a plan function, filtered, changed or written by hand, as a stage with the '
  'given name; tensors without a row stay as they are; in place if it only prunes few atoms, else by rewriting and '
  'committing tensor by tensor; rollback_model() undoes it; 22023, before anything is written, if the plan does not '
  'fit the model';
