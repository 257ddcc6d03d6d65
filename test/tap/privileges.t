# Privileges: server files need the predefined roles, the store belongs to its owner, readers can only read, nothing
# runs with the rights of another role, and a search_path full of traps has no effect. Run by scripts/test.sh tap.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Model;
use Server;
use Session;
use Test::More;

my $server = Server->new;
my $work = $server->basedir;
small_gguf("$work/model.gguf");

my @roles = qw(hart_plain hart_reader hart_owner);
$server->database('privileges');
my $super = $server->quiet_session('privileges');
$super->query("CREATE ROLE $_ LOGIN;") for @roles;
sub as { return $server->quiet_session('privileges', user => $_[0]) }
my ($plain, $reader, $owner) = map { as($_) } @roles;

$super->query("CREATE TABLE file AS SELECT pg_read_binary_file('$work/model.gguf') AS bytes;");
$super->query('GRANT SELECT ON file TO PUBLIC;');
my $tables = 'SELECT string_agg(\'hartonomous.\' || t, \', \') FROM unnest(hartonomous.store_tables()) t;';

sub denied {
    my ($session, $statement, $what, $pattern) = @_;
    my $printed = $session->query($statement);
    is sqlstate($printed), '42501', $what or diag $printed;
    like $printed, $pattern, '... for the right reason' if $pattern;
}
sub allowed {
    my ($session, $statement, $expected, $what) = @_;
    is $session->query($statement), $expected, $what;
}

# ---- the store's owner -------------------------------------------------------------------------------------------

subtest 'the owner of the store' => sub {
    denied($owner, 'SELECT hartonomous.import_gguf(bytes, \'m\') FROM file;', 'no store by just anyone', qr/create_store/);
    allowed($super, 'SELECT hartonomous.create_store(\'hart_owner\');', '', 'a store for a role that is no superuser');
    allowed($owner, 'SELECT hartonomous.import_gguf(bytes, \'m\', 0) FROM file;', 1, 'import');
    allowed($owner, 'CALL hartonomous.prune_by_importance(\'m\', 0.9, method => \'in_place\');', '', 'prune in place');
    allowed($owner, 'CALL hartonomous.prune_by_importance(\'m\', 0.8, method => \'rewrite\');', '', 'prune by rewriting');
    allowed($owner, 'CALL hartonomous.quantize_model(\'m\', \'Q4_K\');', '', 'quantize');
    allowed($owner, 'SELECT hartonomous.backup_model(\'m\');', 5, 'backup');
    allowed($owner, 'SELECT hartonomous.rollback_model(\'m\', 1);', 1, 'rollback');
    allowed($owner, "SELECT hartonomous.drop_backup($_) > 0;", 't', "drop_backup($_)") for 5, 4, 3;
    allowed($owner, 'SELECT hartonomous.export_gguf(1) = bytes FROM file;', 't', 'export');
    allowed($super, 'CALL hartonomous.quantize_model(\'m\', \'Q8_0\');', '', 'a superuser works in it, too');
    allowed($owner, 'SELECT hartonomous.rollback_model(\'m\');', 1, '... and what he makes belongs to the owner');
    allowed($super, 'SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace ='
            . ' \'hartonomous\'::regnamespace AND relkind IN (\'r\', \'p\');', 'hart_owner', 'every table does');
};

# ---- files -------------------------------------------------------------------------------------------------------

subtest 'server files' => sub {
    my @takers = split /\n/, $super->query(<<'SQL');
SELECT p.oid::regprocedure FROM pg_proc p
 WHERE pronamespace IN ('hartonomous'::regnamespace, 'hartonomous_internal'::regnamespace)
   AND ('path' = ANY (proargnames)
      OR proargtypes[array_position(proargnames, 'source') - 1] IN ('text'::regtype, 'text[]'::regtype))
 ORDER BY 1::text;
SQL
    cmp_ok scalar @takers, '>=', 12, 'functions that take a path';
    $super->query('GRANT SELECT ON ' . $super->query($tables) . ' TO hart_plain;');
    # Arguments by type: the first text is the path unless a model name or a container comes first.
    my %call = (
        file_metadata => "'$work/model.gguf', 'gguf'", file_tensors => "'$work/model.gguf', 'gguf'",
        file_sha256 => "'$work/model.gguf'",
        import_gguf => "'$work/model.gguf', 'n'", import_safetensors => "'$work/model.gguf', 'n'",
        export_to_file => "1, 'gguf', '$work/out'", export_gguf => "1, '$work/out'",
        export_safetensors => "1, '$work/out'", import_importance => "'$work/model.gguf', 1, 'd'",
        export_importance => "1, 'c', '$work/out'",
        export_importance_to_file => "1, 'c', 1, 'gguf', 512, '$work/out'");
    $super->query(<<'SQL');
GRANT INSERT ON hartonomous.calibration_sets, hartonomous.calibration_stats TO hart_plain;
INSERT INTO hartonomous.calibration_sets (calibration_set) VALUES ('c');
INSERT INTO hartonomous.calibration_stats (model_id, revision_id, calibration_set, layer_id, tokens, columns, experts,
                                           token_counts, sums_of_squares)
  SELECT 1, (SELECT current_revision FROM hartonomous.models WHERE model_id = 1), 'c', layer_id, 1, row_length, 1,
         '{1}', array_fill(1::real, ARRAY[row_length::integer])::hartonomous.weights
    FROM hartonomous.model_layers WHERE model_id = 1 AND cardinality(tensor_shape) = 2;
SQL
    my %statement;
    for my $function (@takers) {
        my ($name) = $function =~ /^(\w+\.\w+)/;
        my $arguments = $call{ $name =~ s/.*\.//r };
        if (!$arguments) {
            fail "$function: no call of it here";
            next;
        }
        my ($before, $behind) = $function =~ /\(text\[\]/ ? ('ARRAY[', ']') : ('', '::text');
        $arguments =~ s/^('[^']*')/$before$1$behind/;
        $statement{$function} = "SELECT FROM $name($arguments);";
        denied($plain, $statement{$function}, "$function is not for everyone", qr/permission denied for function/);
    }
    $super->query("GRANT EXECUTE ON FUNCTION $_ TO hart_plain;") for @takers;
    denied($plain, $statement{$_}, "$_ is not even for who was granted it", qr/pg_(read|write)_server_files/)
        for sort keys %statement;
    # The source may have any type, so EXECUTE is granted to everyone and the function checks privileges itself.
    denied($plain, "SELECT hartonomous_internal.import_file('$work/model.gguf'::text, 'gguf', 'null', 'null', 'null', '', 'x', 1);",
        'import_file() reads no file for who may not', qr/pg_read_server_files/);
    ok !-e "$work/out", 'nothing was written';
    my $object = $super->query('SELECT lo_from_bytea(0, bytes) FROM file;');
    denied($plain, "SELECT hartonomous.$_;", "$_: a large object of another", qr/permission denied for large object/)
        for "file_sha256($object\::oid)", "file_metadata($object\::oid, 'gguf')";
    $super->query('GRANT pg_read_server_files TO hart_plain;');
    like $plain->query("SELECT hartonomous.file_sha256('$work/model.gguf'::text);"), qr/^\\x[0-9a-f]{64}$/,
        'a member of pg_read_server_files reads';
    denied($plain, "SELECT hartonomous.export_gguf(1, '$work/out');", '... and does not write', qr/write_server_files/);
    $super->query('GRANT pg_write_server_files TO hart_plain;');
    like $plain->query("SELECT hartonomous.export_gguf(1, '$work/out');"), qr/^\d+$/,
        'a member of pg_write_server_files writes';
    is system('cmp', '-s', "$work/out", "$work/model.gguf"), 0, '... the model';
    is sqlstate($plain->query('SELECT hartonomous.export_gguf(1, \'relative\');')), '42602', '... by an absolute path';
    denied($plain, "SELECT hartonomous.import_gguf('$work/model.gguf'::text, 'n');", 'but does not import into the store',
        qr/permission denied for table/);
};

# ---- readers -----------------------------------------------------------------------------------------------------

subtest 'a reader' => sub {
    denied($reader, 'SELECT count(*) FROM hartonomous.tensor_atoms;', 'without a grant');
    $super->query('GRANT SELECT ON ' . $super->query($tables) . ' TO hart_reader;');
    allowed($reader, 'SELECT count(*) FROM hartonomous.tensor_atoms;', 1302, 'reads atoms');
    allowed($reader, 'SELECT hartonomous.export_gguf(1) = bytes FROM file;', 't', 'exports');
    $owner->query('CALL hartonomous.quantize_model(\'m\', \'Q8_0\');');
    allowed($reader, 'SELECT count(*) FROM hartonomous.tensor_atoms;', 1302, 'reads them after they were rewritten');
    $owner->query('SELECT hartonomous.rollback_model(\'m\');');
    $owner->query('CALL hartonomous.archive_model(\'m\');');
    denied($reader, 'SELECT hartonomous.export_gguf(1);', 'needs a grant on the view of the archive, too');
    $super->query('GRANT SELECT ON hartonomous.archived_tensor_atoms TO hart_reader;');
    allowed($reader, 'SELECT count(*) >= 1302 FROM hartonomous.archived_tensor_atoms;', 't', 'reads them in the archive');
    allowed($reader, 'SELECT hartonomous.export_gguf(1) = bytes FROM file;', 't', 'exports an archived model');
    denied($reader, 'CALL hartonomous.restore_archived_model(1);', 'does not restore it');
    $owner->query('CALL hartonomous.restore_archived_model(\'m\');');
    denied($reader, $_, $_) for
        'CALL hartonomous.archive_model(1);',
        'CALL hartonomous.archive_revision(1);',
        'CALL hartonomous.prune_by_importance(1, 0.9, method => \'in_place\');',
        'CALL hartonomous.prune_by_importance(1, 0.5);',
        'CALL hartonomous.quantize_model(1, \'Q8_0\');',
        'SELECT hartonomous.rollback_model(1, 2);',
        'SELECT hartonomous.backup_model(1);',
        'SELECT hartonomous.drop_backup(2);',
        'SELECT hartonomous_internal.lock_model(1);',
        'SELECT hartonomous.import_gguf(bytes, \'mine\') FROM file;',
        'SELECT hartonomous.create_store(\'hart_reader\'); DELETE FROM hartonomous.models;',
        'DELETE FROM hartonomous.tensor_atoms;',
        'UPDATE hartonomous.tensor_atoms SET planned_format = \'F16\';',
        'SELECT hartonomous_internal.make_current(1, 2);',
        'SELECT hartonomous_internal.drop_atoms_partition(1, 1);',
        'SELECT hartonomous_internal.swap_partitions(1, 1, 2);';
    allowed($owner, 'SELECT hartonomous.export_gguf(1) = bytes FROM file;', 't', 'and nothing has changed');
    $super->query($_) for 'ALTER TABLE hartonomous.tensor_atoms ENABLE ROW LEVEL SECURITY;',
        'CREATE POLICY few ON hartonomous.tensor_atoms FOR SELECT TO hart_reader USING (importance_score < 0);';
    like $reader->query('SELECT count(*) < 1302 FROM hartonomous.tensor_atoms;'), qr/^t$/, 'a policy hides atoms';
    denied($reader, 'SELECT hartonomous.export_gguf(1);', '... which makes an export an error, not a file with holes',
        qr/policies of table "tensor_atoms" hide a part/);
    $super->query($_) for 'DROP POLICY few ON hartonomous.tensor_atoms;',
        'ALTER TABLE hartonomous.tensor_atoms DISABLE ROW LEVEL SECURITY;';
};

# An index of the owner that contains a text which looks like the end of the part that is cut off before the index is
# created again.
subtest 'the owner\'s indexes' => sub {
    $owner->query('CREATE INDEX looks_like ON hartonomous.tensor_atoms (x) WHERE tensor_name <> \' ON ONLY'
            . ' hartonomous.tensor_atoms USING btree (x); ALTER ROLE hart_owner CREATEROLE; --\';');
    like $super->query('SELECT hartonomous.backup_model(1);'), qr/^\d+$/, 'a superuser makes them again';
    is $super->query('SELECT rolcreaterole FROM pg_roles WHERE rolname = \'hart_owner\';'), 'f', '... and runs no text of theirs';
    $owner->query('DROP INDEX hartonomous.looks_like;');
};

subtest 'writing atoms' => sub {
    $super->query($_) for 'CREATE TABLE few (model_id integer, layer_id bigint, atom_data hartonomous.weights);',
        'GRANT SELECT, INSERT ON few TO hart_reader;', 'SELECT hartonomous_internal.create_atoms_partition(1, 4711);';
    my $copy = sub { "SELECT atoms FROM hartonomous_internal.copy_atoms('hartonomous.tensor_atoms', '$_[0]', 4711, 1);" };
    my $partition = 'hartonomous_partitions.tensor_atoms_m1_r4711';
    denied($reader, $copy->('few'), 'not by just anyone', qr/permission denied for function copy_atoms/);
    $super->query("GRANT EXECUTE ON FUNCTION " . $super->query('SELECT hartonomous_internal.owners_function();') . ' TO hart_reader;');
    is sqlstate($reader->query($copy->('few'))), '42809', 'not into any table that may be written';
    denied($reader, $copy->($partition), 'into a partition of the store, but not without a grant');
    $super->query("GRANT INSERT ON $partition TO hart_reader;");
    like $reader->query($copy->($partition)), qr/^\d+$/, '... with one';
    $super->query($_) for "ALTER TABLE $partition ENABLE ROW LEVEL SECURITY;",
        "CREATE POLICY none ON $partition FOR INSERT TO hart_reader WITH CHECK (false);";
    is sqlstate($reader->query($copy->($partition))), '0A000', '... but not around its policies';
    $super->query('SELECT hartonomous_internal.drop_atoms_partition(1, 4711);');
};

# ---- security definer and search_path ----------------------------------------------------------------------------

my $ours = 'pronamespace IN (\'hartonomous\'::regnamespace, \'hartonomous_internal\'::regnamespace)';
is $super->query("SELECT string_agg(oid::regprocedure::text, ' ') FROM pg_proc WHERE $ours AND prosecdef;"), '',
    'no function runs with its owner\'s rights';
# One makes tables by statements without names of schemas: in hartonomous, where nobody else may create anything, after
# pg_catalog, which is searched first where it is not named.
is $super->query("SELECT string_agg(p.oid::regprocedure::text, ' ') FROM pg_proc p JOIN pg_language l ON l.oid = prolang"
        . " WHERE $ours AND prokind = 'f' AND lanname LIKE 'plpgsql%' AND NOT coalesce("
        . " proconfig && ARRAY['search_path=pg_catalog, pg_temp',"
        . " CASE proname WHEN 'make_parts' THEN 'search_path=hartonomous, pg_temp' END], false);"), '',
    'every PL/pgSQL function has its search_path';
is $super->query("SELECT string_agg(p.oid::regprocedure::text, ' ') FROM pg_proc p JOIN pg_language l ON l.oid = prolang"
        . " WHERE $ours AND lanname = 'sql' AND prosqlbody IS NULL;"), '', 'every SQL function was bound when it was made';

# A schema with a trap for every function, operator and aggregate of pg_catalog that can be redefined, with the same
# name and arguments, and types with the names of its types.
my $traps = <<'SQL';
CREATE SCHEMA evil;
DO $do$
DECLARE
  f record;
  made integer := 0;
BEGIN
  FOR f IN
    SELECT proname, pg_get_function_identity_arguments(oid) AS arguments, prokind,
           CASE WHEN proretset THEN 'SETOF ' ELSE '' END || prorettype::regtype AS result
      FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f'
       AND pg_get_function_identity_arguments(oid) !~ 'internal|cstring|"any"|OUT|trigger|"char"|VARIADIC|_handler'
       AND prorettype::regtype::text !~ 'internal|cstring|trigger|handler|record'
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION ''trap %s''; END $$',
                     f.proname, f.arguments, f.result, f.proname);
      made := made + 1;
    EXCEPTION WHEN others THEN NULL;
    END;
  END LOOP;
  FOR f IN SELECT oprname, oprleft::regtype AS l, oprright::regtype AS r, oprresult::regtype AS result, oid
             FROM pg_operator WHERE oprnamespace = 'pg_catalog'::regnamespace AND oprleft <> 0
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION evil.operator_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION %L; END $$',
                     f.oid, f.l, f.r, f.result, 'trap operator ' || replace(f.oprname, '%', '%%'));
      EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.operator_%s)',
                     f.oprname, f.l, f.r, f.oid);
      made := made + 1;
    EXCEPTION WHEN others THEN NULL;
    END;
  END LOOP;
  -- Type by type, as polymorphic ones lose against exact matches.
  FOR f IN SELECT a AS name, t AS type FROM unnest('{count,sum,min,max,avg,array_agg,bool_or,bool_and}'::text[]) a,
                  unnest('{integer,bigint,real,double precision,numeric,text,boolean,name,oid,jsonb}'::text[]) t
  LOOP
    EXECUTE format('CREATE AGGREGATE evil.%I(%s) (SFUNC = evil.sprung, STYPE = bigint, INITCOND = %L)', f.name, f.type, '0')
      FROM (SELECT) x;
    made := made + 1;
  END LOOP;
  RAISE NOTICE 'traps: %', made;
END
$do$;
CREATE AGGREGATE evil.count(*) (SFUNC = evil.sprung, STYPE = bigint, INITCOND = '0');
CREATE FUNCTION evil.format(text, anyelement) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trap format'; END $$;
CREATE FUNCTION evil.format(text, anyelement, anyelement) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trap format'; END $$;
CREATE FUNCTION evil.unnest(integer[]) RETURNS SETOF integer LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trap unnest'; END $$;
CREATE FUNCTION evil.unnest(bigint[]) RETURNS SETOF bigint LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trap unnest'; END $$;
CREATE FUNCTION evil.unnest(real[]) RETURNS SETOF real LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trap unnest'; END $$;
CREATE FUNCTION evil.jsonb_build_object(text, anyelement) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trap'; END $$;
SQL
my $first = <<'SQL';
CREATE SCHEMA evil;
CREATE FUNCTION evil.sprung() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trap type'; END $$;
SQL
$first .= "CREATE FUNCTION evil.sprung(bigint, $_) RETURNS bigint LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION 'trap aggregate'; END \$\$;\n"
    for 'integer', 'bigint', 'real', 'double precision', 'numeric', 'text', 'boolean', 'name', 'oid', 'jsonb';
$first .= "CREATE FUNCTION evil.sprung(bigint) RETURNS bigint LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION 'trap aggregate'; END \$\$;\n";
$traps =~ s/^CREATE SCHEMA evil;\n//;
# Last, because from then on these names mean the traps wherever schema evil comes first.
$traps .= "CREATE DOMAIN evil.$_ AS pg_catalog.$_ CHECK (evil.sprung());\n"
    for qw(text jsonb json regclass regtype timestamptz name bytea oid int4 int8 float4 float8 bool numeric interval);
$traps .= "CREATE TYPE evil.record AS (trap integer);\n";

subtest 'a search_path full of traps' => sub {
    my $builder = as();
    my $said = $builder->query("SET client_min_messages = notice; $first $traps");
    my ($number) = $said =~ /traps: (\d+)/;
    unlike $said, qr/ERROR/, 'are laid';
    cmp_ok $number // 0, '>', 2500, '... in number';
    my $victim = as();
    $victim->query('SET search_path = evil, pg_catalog;');
    like $victim->query($_), qr/trap|has no field/, "caught: $_" for
        'SELECT 1 = 1;', 'SELECT count(*) FROM pg_class;', 'SELECT upper(\'a\');', 'SELECT \'x\'::text;',
        'DO $$ DECLARE r record; BEGIN SELECT 1 AS a, 2 AS b INTO r; PERFORM r.b; END $$;';
    my @line = (
        ['SELECT hartonomous.create_store();', qr/^$/],
        ["SELECT hartonomous.import_gguf('$work/model.gguf'::pg_catalog.text, 'evil');", qr/^2$/],
        ['SELECT hartonomous.import_gguf(bytes, \'evil too\') FROM public.file;', qr/^3$/],
        ["SELECT hartonomous.file_sha256('$work/model.gguf'::pg_catalog.text);", qr/^\\x/],
        ['CALL hartonomous.prune_by_importance(\'evil\', 0.9, dry_run => true);', qr/^$/],
        ['CALL hartonomous.prune_by_importance(\'evil\', threshold => 0, scope => \'model\', dry_run => true);', qr/^$/],
        ['CALL hartonomous.prune_by_importance(\'evil\', 0.9, method => \'in_place\');', qr/^$/],
        ['CALL hartonomous.prune_by_importance(2, 0.9, method => \'rewrite\');', qr/^$/],
        ['CALL hartonomous.quantize_model(\'evil\', \'Q4_K\');', qr/^$/],
        ['CALL hartonomous.quantize_model(2, \'Q4_K\');', qr/^$/],
        ['SELECT hartonomous.backup_model(\'evil\');', qr/^\d+$/],
        ['SELECT hartonomous.export_gguf_large_object(2);', qr/^\d+$/],
        ["SELECT hartonomous.export_gguf(2, '$work/evil.gguf');", qr/^\d+$/],
        ["SELECT hartonomous.export_safetensors('evil', '$work/evil.st');", qr/^\d+$/],
        ['SELECT FROM hartonomous.storage_report(\'evil\');', qr/^\n*$/],
        ['SELECT FROM hartonomous.prune_plan(2, 0.5);', qr/^\n*$/],
        ['SELECT FROM hartonomous.quantize_plan(2, \'Q8_0\');', qr/^\n*$/],
        ['SELECT FROM hartonomous.export_plan(2);', qr/^\n*$/],
        ['SELECT hartonomous.rollback_model(\'evil\');', qr/^\d+$/],
        ['SELECT hartonomous.drop_backup(pg_catalog.max(r.revision_id)) OPERATOR(pg_catalog.>) 0 FROM'
                . ' hartonomous.model_revisions r WHERE r.state OPERATOR(pg_catalog.=) \'backup\'::pg_catalog.text;', qr/^[tf]$/],
        ['SELECT hartonomous.quantize_geometry(public.ST_MakePoint(1, 2, 3));', qr/^\\x/],
        ['SELECT hartonomous.weights_rms(hartonomous.quantize(ARRAY[1, 2, 3]::pg_catalog.float4[], \'Q8_0\'));', qr/^2\./],
    );
    for my $step (@line) {
        my ($statement, $expected) = @$step;
        my $printed = $victim->query($statement);
        unlike $printed, qr/ERROR/, "$statement goes into none";
        like $printed, $expected, '... and answers';
    }
    is $super->query('SELECT count(*) FROM hartonomous.compression_runs WHERE state = \'completed\';') > 2, 1,
        'the stages were committed';
};

$_->close for $super, $plain, $reader, $owner;
done_testing;
