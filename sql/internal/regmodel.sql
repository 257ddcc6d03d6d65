-- Type regmodel, by which functions name a model. Like regclass for tables, it is input as a name or number, stored as
-- the number, and output as the name. It is meant for arguments: table columns hold the number (integer), because a
-- dump must be readable before any model exists.

CREATE TYPE hartonomous.regmodel;

CREATE FUNCTION hartonomous_internal.regmodel_in(cstring) RETURNS hartonomous.regmodel
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 250;
CREATE FUNCTION hartonomous_internal.regmodel_out(hartonomous.regmodel) RETURNS cstring
  AS 'MODULE_PATHNAME' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 250;
CREATE FUNCTION hartonomous_internal.regmodel_recv(internal) RETURNS hartonomous.regmodel
  AS 'int4recv' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE COST 1;
CREATE FUNCTION hartonomous_internal.regmodel_send(hartonomous.regmodel) RETURNS bytea
  AS 'int4send' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE COST 1;

CREATE TYPE hartonomous.regmodel (
  INPUT = hartonomous_internal.regmodel_in,
  OUTPUT = hartonomous_internal.regmodel_out,
  RECEIVE = hartonomous_internal.regmodel_recv,
  SEND = hartonomous_internal.regmodel_send,
  LIKE = integer,
  CATEGORY = 'N'
);
COMMENT ON TYPE hartonomous.regmodel IS
  'a model, by name or by number; digits, also with a minus sign, are a number; 42704, with similar names, if there '
  'is no model '
  'of that name';
COMMENT ON FUNCTION hartonomous_internal.regmodel_in(cstring) IS
  'text input: digits, also with a minus sign, are a number, whether or not there is such a model; anything else is a '
  'name; 42704 if there is '
  'no such model';
COMMENT ON FUNCTION hartonomous_internal.regmodel_out(hartonomous.regmodel) IS
  'text output: the name, or the number if the model does not exist or its name reads as a number';
COMMENT ON FUNCTION hartonomous_internal.regmodel_recv(internal) IS 'binary input: int4, the number';
COMMENT ON FUNCTION hartonomous_internal.regmodel_send(hartonomous.regmodel) IS 'binary output: int4, the number';

-- The casts are implicit, so that numbers, columns named model_id, and driver parameters of any integer or text type
-- are accepted.
CREATE FUNCTION hartonomous_internal.regmodel(model text) RETURNS hartonomous.regmodel
  AS 'MODULE_PATHNAME', 'regmodel_from_text' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 250;
COMMENT ON FUNCTION hartonomous_internal.regmodel(text) IS
  'a model by its name, or its number; 42704 as the text input';
CREATE FUNCTION hartonomous_internal.regmodel(model smallint) RETURNS hartonomous.regmodel
  AS 'MODULE_PATHNAME', 'regmodel_from_smallint' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous_internal.regmodel(smallint) IS 'a model by its number';
CREATE FUNCTION hartonomous_internal.regmodel(model bigint) RETURNS hartonomous.regmodel
  AS 'MODULE_PATHNAME', 'regmodel_from_bigint' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 1;
COMMENT ON FUNCTION hartonomous_internal.regmodel(bigint) IS
  'a model by its number; 42704 when no model can have that number, since it is no integer';

CREATE CAST (hartonomous.regmodel AS integer) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (integer AS hartonomous.regmodel) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (smallint AS hartonomous.regmodel) WITH FUNCTION hartonomous_internal.regmodel(smallint) AS IMPLICIT;
CREATE CAST (bigint AS hartonomous.regmodel) WITH FUNCTION hartonomous_internal.regmodel(bigint) AS IMPLICIT;
CREATE CAST (text AS hartonomous.regmodel) WITH FUNCTION hartonomous_internal.regmodel(text) AS IMPLICIT;
CREATE CAST (varchar AS hartonomous.regmodel) WITH FUNCTION hartonomous_internal.regmodel(text) AS IMPLICIT;

CREATE FUNCTION hartonomous_internal.model_names_changed() RETURNS void
  AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE COST 50;
COMMENT ON FUNCTION hartonomous_internal.model_names_changed() IS
  'lets all sessions look up again, after the commit, the models that their prepared statements and functions name by '
  'literals; 42501 without the right to UPDATE models';
