-- The row type of all plans: what a stage does with each tensor of a model.

CREATE TYPE hartonomous.tensor_plan AS (
  layer_id bigint, layer_name text, operation text, arguments jsonb, atoms_before bigint, atoms_after bigint,
  bytes_before bigint, bytes_after bigint, reason text, details jsonb
);
COMMENT ON TYPE hartonomous.tensor_plan IS
  'a row of a plan: what is to be done with a tensor (operation and arguments; without an operation it stays as it is),'
  ' its atoms and bytes before and after (NULL if not known in advance), the reason why it stays as it is or is '
  'treated differently than requested, and further details';
