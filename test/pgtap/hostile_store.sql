-- The tables belong to a role that is no superuser, and it may do with them what it likes: columns of other types,
-- NULLs, none at all. Whatever reads them then may fail, by an SQLSTATE that says why; it never takes one thing for
-- another, and never ends the server. hostile_values.sql does the same with values.
BEGIN;
\ir lib/model_files.sql
\ir lib/language_models.sql
SELECT * FROM no_plan();
\ir lib/spoilt_store.sql
SELECT isnt_empty(format('SELECT FROM svd_compressed_layers WHERE model_id = %s', :m), 'some tensors are factors');
SELECT is((objections('SELECT', ARRAY(SELECT call FROM calls))).objecting, '{}', 'nothing is wrong yet');
DO $$DECLARE c text; BEGIN FOR c IN SELECT call FROM lib.calls LOOP CALL lib.note_reads(c); END LOOP; END$$;
-- A column that is read by code in C++, whose name is in a query there, is in this list.
CREATE TABLE lib.columns_read (relation text, names text[]);
INSERT INTO lib.columns_read VALUES ('models', '{model_id,current_revision,metadata}'),
  ('model_revisions', '{revision_id,base_revision_id,held_revision_id}'),
  ('model_layers', '{layer_id,model_id,layer_name,tensor_shape,tensor_dtype,row_length,atom_size,parameter_count}'),
  ('tensor_atoms', '{model_id,layer_id,atom_sequence,atom_data,importance_score,weights_geometry,tensor_name}'),
  ('tensor_atoms_backup', '{atom_sequence,atom_data}'),
  ('svd_compressed_layers', '{rank,u_matrix,s_vector,vt_matrix,dense_format}'),
  ('calibration_sets', '{calibration_set,text}'),
  ('calibration_stats', '{layer_id,tokens,columns,experts,token_counts,sums_of_squares,gram_layer_id}'),
  ('calibration_grams', '{of_gradients,expert,first_column,gram}');
SELECT is_empty('SELECT relation FROM columns_read WHERE cardinality(readers(relation)) = 0',
  'each table is read by some of the calls');
-- Functions in C that are not immutable may read tables. These read none of the store, or what others read, too.
SELECT is_empty($$
  SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'c'
   WHERE p.pronamespace IN ('hartonomous'::regnamespace, 'hartonomous_internal'::regnamespace) AND p.provolatile <> 'i'
     AND p.proname !~ '^(file_|export.*_to_file|regmodel|release_model_cache|unlock_model|model_names_changed)'
     AND p.proname !~ '^(free_bytes|raise_error|wait_for_lockers|applies_changes|subscribe_partition)'
     AND NOT EXISTS (SELECT FROM pg_language h WHERE p.oid IN (h.lanplcallfoid, h.laninline, h.lanvalidator))
     AND p.oid <> ALL (SELECT r FROM calls, unnest(reaches) r)$$, 'each function in C is reached by some of the calls');

-- Every column, from the catalogs: with those that code in C++ reads, all calls that read the table; PostgreSQL itself
-- takes care of the others, so there two calls are enough, not always the same.
CREATE TABLE lib.columns AS
SELECT relation, name, type, names IS NOT NULL AS in_cpp,
       CASE WHEN names IS NOT NULL THEN readers(relation)
            ELSE ARRAY(SELECT call FROM unnest(readers(relation)) call ORDER BY md5(name || call) LIMIT 2) END AS calls
  FROM (SELECT t AS relation, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type, c.names
          FROM unnest(store_tables()) t
          JOIN pg_attribute a ON a.attrelid = ('hartonomous.' || t)::regclass AND a.attnum > 0 AND NOT a.attisdropped
          LEFT JOIN columns_read c ON c.relation = t AND a.attname = ANY (c.names)) s;
SELECT is((SELECT count(*) FROM columns WHERE in_cpp), (SELECT sum(cardinality(names)) FROM columns_read)::bigint,
  'the columns that C++ reads are there');
-- Who does not mind that a column is missing, does not read it, and cannot notice that it was spoilt.
CREATE TABLE lib.missing AS
SELECT c.*, o.*
  FROM columns c CROSS JOIN LATERAL
       objections(format('ALTER TABLE hartonomous.%I RENAME %I TO gone', relation, name), calls) o;
-- Of another type: a number for what is read through a pointer, a text for the others and for what has a structure.
CREATE TABLE lib.spoilt AS
SELECT m.relation, m.name, definition, o.said
  FROM missing m CROSS JOIN LATERAL (
         VALUES ('bigint DEFAULT 1094795585', m.type !~ '^(bigint|integer|boolean|real|double precision)$'),
                ('text DEFAULT ''x''',
                 m.type <> 'text' AND (m.in_cpp OR m.type ~ '^(bigint|integer|boolean|real|double precision)$')),
                (m.type, m.in_cpp)) d (definition, wanted)
 CROSS JOIN LATERAL objections(column_replaced(m.relation, m.name, definition), m.objecting) o
 WHERE wanted AND cardinality(m.objecting) > 0;
SELECT is(said, '', format('%s.%s missing', relation, name)) FROM missing;
SELECT is(said, '', format('%s.%s %s', relation, name, definition)) FROM spoilt;
SELECT diag(format('spoilt columns: %s calls', calls)) FROM counts;

SELECT * FROM finish();
ROLLBACK;
