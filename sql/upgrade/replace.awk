# Turns the script of CREATE EXTENSION into the middle of one for ALTER EXTENSION UPDATE (before.sql): functions are
# replaced; schemas, languages, types, operators and casts are left alone if they exist.
/^\\echo/ { next }
/^CREATE (FUNCTION|PROCEDURE|AGGREGATE) / { sub(/^CREATE/, "CREATE OR REPLACE") }
/^CREATE (SCHEMA|LANGUAGE|TYPE|DOMAIN|OPERATOR|CAST) / { print "DO $if_missing$ BEGIN"; open = 1 }
{ print }
open && /;$/ {
  print "EXCEPTION WHEN duplicate_object OR duplicate_function OR duplicate_schema THEN NULL; END $if_missing$;"
  open = 0
}
