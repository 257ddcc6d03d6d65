-- The one shape of all plans: what becomes of each tensor of a model.

CREATE TYPE hartonomous.tensor_plan AS (
  layer_id bigint, layer_name text, operation text, arguments jsonb, atoms_before bigint, atoms_after bigint,
  bytes_before bigint, bytes_after bigint, reason text, details jsonb
);
COMMENT ON TYPE hartonomous.tensor_plan IS
  'a row of a plan: what becomes of a tensor (operation and arguments; no operation: it is left as it is), its atoms '
  'and bytes now and then (NULL: not known before), why it is left alone or treated otherwise than asked, and what '
  'else the plan knows of it';
