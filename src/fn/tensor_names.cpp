// Information in the names of tensors (sql/internal/tensors.sql).
#include "pg/base/text.hpp"

#include "hartonomous/tensor_name.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

HARTONOMOUS_FUNCTION(layer_number) { PG_RETURN_INT32(parse_tensor_name(text_view_argument(fcinfo, 0)).block); }

HARTONOMOUS_FUNCTION(layer_type) { return text_datum(kind_of(parse_tensor_name(text_view_argument(fcinfo, 0)).role)); }

HARTONOMOUS_FUNCTION(tensor_role) { return text_datum(name_of(parse_tensor_name(text_view_argument(fcinfo, 0)).role)); }

HARTONOMOUS_FUNCTION(writes_residual) {
  PG_RETURN_BOOL(writes_residual(parse_tensor_name(text_view_argument(fcinfo, 0)).role));
}

HARTONOMOUS_FUNCTION(with_layer_number) {
  return text_datum(with_block(text_view_argument(fcinfo, 0), PG_GETARG_INT32(1)));
}
