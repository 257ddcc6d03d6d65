-- A store with everything that version 0.1.0 keeps: models, revisions of all stages, backups, deltas,
-- factors, a student, measurements, usage, a stopped run, columns and an index of the user's. `expected` has what must be
-- the same after the upgrade. Run by make_store.sh with the files of test/pgtap/lib of that version.
\set ON_ERROR_STOP 1
BEGIN;
\set model_files :lib/model_files.sql
\set language_models :lib/language_models.sql
\ir :model_files
\ir :language_models
SELECT create_store() \g /dev/null
SELECT import_gguf(little_gguf(), 'little'), import_gguf(llama_gguf(), 'llama') \g /dev/null
ALTER TABLE hartonomous.tensor_atoms ADD COLUMN note text DEFAULT 'none';
CREATE INDEX atoms_by_note ON hartonomous.tensor_atoms (note) WHERE note <> 'none';
UPDATE hartonomous.tensor_atoms SET note = 'marked' WHERE atom_sequence = 3;
CALL prune_by_importance('little', keep_ratio => 0.9, method => 'in_place');
CALL quantize_model('little', 'Q8_0');
SELECT backup_model('little') \g /dev/null
CALL svd_compress_model('little', rank => 1);
CALL prune_by_importance('llama', keep_ratio => 0.3, method => 'rewrite', include_embeddings => true);
SELECT rollback_model('llama') \g /dev/null
SELECT extract_by_importance('llama', 0.2, 'student') \g /dev/null
CALL quantize_model_geometry('student');
SELECT add_validation_set('text', repeat('the cat sat on the mat and the dog ran after it. ', 4)) \g /dev/null
SELECT validate_model_accuracy('llama', 'text') \g /dev/null
SELECT record_usage('llama', 'the cat sat') \g /dev/null
SELECT start_run(model_id('student'), 'quantize', 'rewrite', '{"format": "F16"}') \g /dev/null
CREATE TABLE public.expected AS
  SELECT m.model_name, sha256(export_gguf(m.model_id)) AS exported,
         (SELECT jsonb_agg(to_jsonb(h)) FROM model_history(m.model_id) h WHERE h.state <> 'building') AS history
    FROM hartonomous.models m;
CREATE TABLE public.of_a_user (weights hartonomous.weights);
INSERT INTO public.of_a_user VALUES ('{1,2,3}'::real[]);
CREATE VIEW public.models_of_a_user AS SELECT model_name, atoms FROM hartonomous.list_models();
CREATE FUNCTION public.name_of(model hartonomous.regmodel) RETURNS text LANGUAGE sql RETURN model::text;
DROP EXTENSION pgtap;
DROP SCHEMA lib CASCADE;
COMMIT;
