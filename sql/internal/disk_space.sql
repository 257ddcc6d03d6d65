-- Before a stage writes: what it needs of the disk, and what there is.

CREATE FUNCTION hartonomous_internal.free_bytes_of_tablespace(tablespace oid) RETURNS bigint
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.free_bytes_of_tablespace(oid) IS
  'bytes that the server can still write to the disk on which this database has its tables in a tablespace (0: the '
  'default one); NULL if it has none there; 42501 for all but pg_monitor and who may create partitions';

-- What a run has still to write: the weights as planned, and besides them what atoms take now. Plans of users may say
-- anything, so that their figures are believed only as far as they are possible: no format has more than 8 bytes a
-- weight.
-- An archive takes hardly more than the weights, and a partition that comes back about what one of its kind takes: 200
-- bytes for each atom besides its weights.
CREATE FUNCTION hartonomous_internal.bytes_to_move(run bigint) RETURNS numeric
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  job hartonomous.compression_runs;
BEGIN
  SELECT * INTO STRICT job FROM hartonomous.compression_runs r WHERE r.run_id = run;
  IF hartonomous_internal.purpose_of_run(run) = 'archive' THEN
    RETURN (SELECT coalesce(sum(f.bytes), 0)
              FROM hartonomous_internal.fingerprints_of_base(job.model_id, job.revision_id) f
              JOIN hartonomous.compression_steps s ON s.layer_id = f.layer_id
             WHERE s.run_id = run AND s.state = 'waiting');
  END IF;
  RETURN (SELECT coalesce(sum(c.logical_bytes + 200.0 * c.atoms), 0)
            FROM hartonomous.tensor_atoms_archive c
            JOIN hartonomous.compression_steps s ON s.layer_id = c.layer_id
           WHERE s.run_id = run AND s.state = 'waiting' AND c.model_id = job.model_id
             AND c.revision_id = ANY (hartonomous_internal.partitions_of_base(job.revision_id, archived => true)));
END
$$;
COMMENT ON FUNCTION hartonomous_internal.bytes_to_move(bigint) IS
  'the same of a run that archives or restores';

CREATE FUNCTION hartonomous_internal.bytes_to_write(run bigint, plan hartonomous.tensor_plan[]) RETURNS numeric
  LANGUAGE plpgsql STABLE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
  SET enable_nestloop = off
  SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
  job hartonomous.compression_runs;
  source regclass;
  needed numeric;
BEGIN
  SELECT * INTO STRICT job FROM hartonomous.compression_runs r WHERE r.run_id = run;
  IF hartonomous_internal.purpose_of_run(run) <> 'rewrite' THEN
    RETURN hartonomous_internal.bytes_to_move(run);
  END IF;
  source := hartonomous_internal.live_partition(job.model_id);
  EXECUTE format($sql$
    WITH stored AS MATERIALIZED (
      SELECT layer_id, count(*) AS atoms, sum(hartonomous.weights_bytes(atom_data)) AS bytes FROM %s GROUP BY layer_id),
    live AS (SELECT sum(s.atoms) AS atoms, sum(s.bytes) AS bytes, $3::numeric AS disk_bytes FROM stored s)
    SELECT sum(w.bytes + w.atoms * greatest(live.disk_bytes - live.bytes, 0) / nullif(live.atoms, 0))
      FROM live, (SELECT least(greatest(coalesce(p.bytes_after, s.bytes), 0), 8.0 * l.parameter_count) AS bytes,
                         least(greatest(coalesce(p.atoms_after, s.atoms), 0), s.atoms) AS atoms
                    FROM hartonomous.compression_steps c
                    LEFT JOIN hartonomous.model_layers l ON l.layer_id = c.layer_id
                    LEFT JOIN stored s ON s.layer_id = c.layer_id
                    LEFT JOIN unnest($2) p ON p.layer_id = c.layer_id AND p.operation IS NOT NULL
                   WHERE c.run_id = $1 AND c.state = 'waiting') w$sql$, source)
    INTO needed USING run, plan, pg_total_relation_size(source);
  RETURN coalesce(needed, 0);
END
$$;
COMMENT ON FUNCTION hartonomous_internal.bytes_to_write(bigint, hartonomous.tensor_plan[]) IS
  'about how many bytes on disk a run will write for its waiting steps; a plan tells the sizes of changed tensors';

CREATE FUNCTION hartonomous_internal.require_disk_space(run bigint,
    plan hartonomous.tensor_plan[] DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 5000
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  needed numeric;
  target record;
BEGIN
  IF NOT current_setting('hartonomous.check_disk_space')::boolean THEN
    RETURN;
  END IF;
  SELECT r.stage, coalesce(t.spcname, d.spcname) AS tablespace,
         hartonomous_internal.free_bytes_of_tablespace(c.reltablespace) AS free INTO STRICT target
    FROM hartonomous.compression_runs r
    JOIN pg_class c ON c.oid = CASE WHEN hartonomous_internal.purpose_of_run(run) = 'archive'
                                    THEN 'hartonomous.tensor_atoms_archive'::regclass
                                    ELSE hartonomous_internal.partition_of(r.model_id, r.revision_id) END
    LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace
    JOIN pg_database b ON b.datname = current_database()
    JOIN pg_tablespace d ON d.oid = b.dattablespace
   WHERE r.run_id = run;
  needed := hartonomous_internal.bytes_to_write(run, plan);
  IF needed > target.free THEN
    PERFORM hartonomous_internal.raise_error('53100',
      format('stage "%s" needs about %s of disk space, and tablespace "%s" has %s left', target.stage,
             pg_size_pretty(needed), target.tablespace, pg_size_pretty(target.free)),
      hint => 'Drop backups (drop_backup, apply_retention), or set default_tablespace to another tablespace. SET '
        'hartonomous.check_disk_space = off; starts without this check.');
  END IF;
END
$$;
COMMENT ON FUNCTION hartonomous_internal.require_disk_space(bigint, hartonomous.tensor_plan[]) IS
  '53100 if the disk of the tablespace in which a run writes has less space than it needs, unless '
  'hartonomous.check_disk_space is off';
