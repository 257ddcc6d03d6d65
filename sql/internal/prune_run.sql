-- Pruning in place.

-- Tensors with the same arguments are pruned by one statement, which uses an index on positions if there is one.
CREATE FUNCTION hartonomous_internal.prune_in_place(model integer, stage text, parameters jsonb,
  plan hartonomous.tensor_plan[])
  RETURNS integer
  LANGUAGE plpgsql_as_owner VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  parent hartonomous.model_revisions;
  revision integer;
  source regclass := hartonomous_internal.live_partition(model);
  delta regclass;
  list text;
  alike record;
  removed bigint;
  removed_bytes bigint;
BEGIN
  SELECT * INTO STRICT parent
    FROM hartonomous.model_revisions r WHERE r.revision_id = hartonomous_internal.current_revision(model);
  revision := hartonomous_internal.new_revision(model, stage, 'in_place', parameters);
  delta := hartonomous_internal.create_atoms_partition(model, revision);
  list := hartonomous_internal.moved_columns(source, delta);
  FOR alike IN
    SELECT p.arguments, array_agg(p.layer_id) AS layers FROM unnest(plan) p WHERE p.operation = 'prune'
    GROUP BY p.arguments
  LOOP
    EXECUTE format($sql$
      WITH gone AS (DELETE FROM %1$s a WHERE a.layer_id = ANY ($1) AND (%5$s) RETURNING a.*)
      INSERT INTO %2$s (revision_id, %3$s) SELECT %4$s, %3$s FROM gone
      $sql$, source, delta, list, revision,
      hartonomous_internal.pruned_atoms(alike.arguments)) USING alike.layers;
  END LOOP;
  EXECUTE format('SELECT count(*), coalesce(sum(hartonomous.weights_bytes(atom_data)), 0) FROM %s', delta)
    INTO removed, removed_bytes;
  PERFORM hartonomous_internal.attach_backup(model, revision);
  PERFORM hartonomous_internal.complete_revision(revision, parent.atom_count - removed,
    parent.logical_bytes - removed_bytes, source);
  PERFORM hartonomous_internal.make_current(model, revision);
  RETURN revision;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.prune_in_place(integer, text, jsonb, hartonomous.tensor_plan[]) IS
  'makes a revision by deleting the atoms that the operations "prune" of a plan remove from the live partition, and '
  'keeps them in a delta; the caller holds the lock of the model';
