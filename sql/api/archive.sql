-- Archiving models and revisions: their atoms become compressed chunks, and atoms again when they are to be changed.
--
-- A call commits each tensor. After a cancel or crash the model is as it was, and the same call goes on after the last
-- tensor; inside a transaction block nothing is committed and nothing remains. A concurrent call waits for the model's
-- lock or, with nowait, fails with 55P03.

CREATE PROCEDURE hartonomous.archive_model(model hartonomous.regmodel, backups boolean DEFAULT false,
    nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
  CALL hartonomous_internal.move_model(model, 'archive', backups, nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.archive_model(hartonomous.regmodel, boolean, boolean) IS
  'compresses the live revision of a model to the bit and, with backups, all others, and drops their partitions; '
  'commits tensor by tensor, and the same call continues what was stopped; revisions made in place go together with '
  'the live one if they share its atoms; the model can be read as before, but not be changed; 42704 if there is no '
  'such model, 0A000 if the user has added columns, 53100 if the disk is too small, 55P03 with nowait';

CREATE PROCEDURE hartonomous.restore_archived_model(model hartonomous.regmodel, backups boolean DEFAULT false,
    nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
BEGIN
  CALL hartonomous_internal.move_model(model, 'restore', backups, nowait);
END
$$;
COMMENT ON PROCEDURE hartonomous.restore_archived_model(hartonomous.regmodel, boolean, boolean) IS
  'makes atoms of the live revision of a model again and, with backups, of all others; commits tensor by tensor, and '
  'the same call continues what was stopped; 42704 if there is no such model, XX001 if the archive is damaged, 53100 '
  'if the disk is too small, 55P03 with nowait';

CREATE PROCEDURE hartonomous.archive_revision(revision integer, nowait boolean DEFAULT false,
    access_method text DEFAULT NULL)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  commits constant boolean := hartonomous_internal.can_commit();
  target record;  -- not a row type, as in rollback_model()
BEGIN
  SELECT * INTO target FROM hartonomous_internal.lock_revision(revision, nowait, commits);
  PERFORM hartonomous_internal.require_lone_backup(revision);
  IF access_method IS NOT NULL THEN
    PERFORM hartonomous_internal.require_access_method(access_method);
    PERFORM hartonomous_internal.use_access_method(target.model_id, target.base_revision_id, access_method);
  ELSE
    CALL hartonomous_internal.move_partition(target.model_id, target.base_revision_id, 'archive');
  END IF;
  IF commits THEN
    COMMIT;
    PERFORM hartonomous_internal.unlock_model(target.model_id);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous.archive_revision(integer, boolean, text) IS
  'compresses the atoms of a backup revision to the bit and drops its partition; commits tensor by tensor, '
  'and the same '
  'call continues what was stopped; with access method columnar (of Citus, where it is installed) rewrites the '
  'partition in it instead, in one transaction, and the revision stays a backup; 42704 if there is no such revision, '
  '55000 if it is not a backup or shares its atoms with others, 0A000 if the user has added columns or there '
  'is no such '
  'access method, 22023 if it is another one, 53100 if the disk is too small, 55P03 with nowait';

CREATE PROCEDURE hartonomous.restore_archived_revision(revision integer, nowait boolean DEFAULT false)
  LANGUAGE plpgsql
AS $$
#variable_conflict use_variable
DECLARE
  commits constant boolean := hartonomous_internal.can_commit();
  target record;
BEGIN
  SELECT * INTO target FROM hartonomous_internal.lock_revision(revision, nowait, commits);
  IF hartonomous_internal.is_columnar(revision) THEN
    PERFORM hartonomous_internal.use_access_method(target.model_id, target.base_revision_id, 'heap');
  ELSIF target.state OPERATOR(pg_catalog.=) 'archived' THEN
    CALL hartonomous_internal.move_partition(target.model_id, target.base_revision_id, 'restore');
  ELSE
    PERFORM hartonomous_internal.raise_error('55000',
      pg_catalog.format('revision %s is %s, not archived', revision, COALESCE(target.state, 'deleted')),
      hint => 'Revisions in state "archived" can be restored: see hartonomous.model_revisions.');
  END IF;
  IF commits THEN
    COMMIT;
    PERFORM hartonomous_internal.unlock_model(target.model_id);
  END IF;
END
$$;
COMMENT ON PROCEDURE hartonomous.restore_archived_revision(integer, boolean) IS
  'makes an archived revision a backup again, or live if its model is archived, together with the revisions that share '
  'its atoms; commits tensor by tensor, and the same call continues what was stopped; 42704 if there is no such '
  'revision, 55000 if it is not archived, XX001 if the archive is damaged, 53100 if the disk is too small, 55P03 with '
  'nowait';

CREATE FUNCTION hartonomous.archive_report()
  RETURNS TABLE (model_id integer, model_name text, revision_id integer, atoms bigint, logical_bytes bigint,
    own_bytes bigint, shared_bytes bigint, saved_bytes bigint)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 100
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
  RETURN QUERY
    WITH parts AS (
      SELECT c.model_id, c.revision_id, c.weights_hash, sum(c.atoms) AS atoms, sum(c.logical_bytes) AS logical_bytes
        FROM hartonomous.tensor_atoms_archive c GROUP BY c.model_id, c.revision_id, c.weights_hash),
    sharers AS (
      SELECT p.*, pg_column_size(w.atom_data) AS bytes,
             count(*) OVER (PARTITION BY p.weights_hash) > 1 AS is_shared,
             -- What it would take by itself, unless it is the first.
             CASE WHEN row_number() OVER (PARTITION BY p.weights_hash ORDER BY p.revision_id) > 1
                  THEN round(pg_column_size(w.atom_data)
                    * least(p.logical_bytes / nullif(w.logical_bytes, 0)::numeric, 1))
                  ELSE 0 END AS saved
        FROM parts p JOIN hartonomous.archived_weights w ON w.weights_hash = p.weights_hash)
    SELECT s.model_id, m.model_name, s.revision_id, sum(s.atoms)::bigint, sum(s.logical_bytes)::bigint,
           hartonomous_internal.archived_bytes(s.model_id, s.revision_id),
           coalesce(sum(s.bytes) FILTER (WHERE s.is_shared), 0)::bigint, coalesce(sum(s.saved), 0)::bigint
      FROM sharers s JOIN hartonomous.models m ON m.model_id = s.model_id
     GROUP BY s.model_id, m.model_name, s.revision_id ORDER BY s.model_id, s.revision_id;
END
$$;
COMMENT ON FUNCTION hartonomous.archive_report() IS
  'one row per archived partition, named by the revision that wrote it: its atoms and the bytes of their '
  'weights; bytes '
  'stored for it alone, which dropping it frees; bytes of chunks of weights that it shares with others; and what the '
  'chunks it shares with those before it would take if they were stored again';

-- Means and deviations of chunks are combined as in Chan, Golub and LeVeque, "Updating formulae and a pairwise
-- algorithm for computing sample variances" (1979).
CREATE FUNCTION hartonomous.archived_importance(model hartonomous.regmodel, revision integer DEFAULT NULL)
  RETURNS TABLE (revision_id integer, layer_id bigint, atoms bigint, measured bigint, mean double precision,
    deviation double precision, minimum real, maximum real)
  LANGUAGE plpgsql STABLE PARALLEL SAFE COST 5000 ROWS 300
  SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  archived constant integer[] := ARRAY(
    SELECT r.revision_id FROM hartonomous.model_revisions r
     WHERE r.model_id = model AND r.archived_atoms IS NOT NULL AND (revision IS NULL OR r.revision_id = revision));
BEGIN
  PERFORM hartonomous_internal.current_revision(model);
  IF revision IS NOT NULL AND archived = '{}' THEN
    PERFORM hartonomous_internal.raise_error('55000',
      format('no atoms that revision %s of the model wrote are archived', revision),
      hint => 'SELECT * FROM hartonomous.archive_report();');
  END IF;
  PERFORM hartonomous_internal.require_complete_archive(r.revision_id)
    FROM hartonomous.model_revisions r
   WHERE r.model_id = model AND r.state = 'archived'
     AND r.base_revision_id IN (SELECT p.base_revision_id FROM hartonomous.model_revisions p
                                 WHERE p.revision_id = ANY (archived));
  RETURN QUERY
    WITH chunks AS MATERIALIZED (
      SELECT c.revision_id, c.layer_id, c.atoms, s.*,
             sum(s.mean * s.measured) OVER w / nullif(sum(s.measured) OVER w, 0) AS mean_of_all
        FROM hartonomous.tensor_atoms_archive c
        CROSS JOIN LATERAL hartonomous_internal.chunk_summary(c.importance_score) s
       WHERE c.model_id = model AND c.revision_id = ANY (archived)
      WINDOW w AS (PARTITION BY c.revision_id, c.layer_id))
    SELECT c.revision_id, c.layer_id, sum(c.atoms)::bigint, sum(c.measured)::bigint, min(c.mean_of_all),
           sqrt((sum(c.squares) + sum(c.measured * (c.mean - c.mean_of_all) ^ 2)) / nullif(sum(c.measured), 0)),
           min(c.minimum), max(c.maximum)
      FROM chunks c GROUP BY c.revision_id, c.layer_id ORDER BY c.revision_id, c.layer_id;
END
$$;
COMMENT ON FUNCTION hartonomous.archived_importance(hartonomous.regmodel, integer) IS
  'the importance of the archived atoms of a model, one row per tensor and revision that wrote them (or of one '
  'revision), as count(*), count(), avg(), stddev_pop(), min() and max() would return, from chunks and not '
  'atom by atom; '
  '42704 if there is no such model, 55000 if nothing that the revision wrote is archived, XX001 if the '
  'archive is damaged';
