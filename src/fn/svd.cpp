// Singular value decomposition of matrices given as JSON, arrays or weights (sql/api/svd.sql).
#include "pg/base/arrays.hpp"
#include "pg/base/composite.hpp"
#include "pg/base/factors.hpp"
#include "pg/base/guc.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/text.hpp"
#include "pg/base/weights.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hartonomous/matrix_json.hpp"
#include "hartonomous/svd.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

thread_pool session_pool() { return thread_pool(static_cast<unsigned>(current_settings.threads)); }

// ---- arguments -------------------------------------------------------------------------------------------------

matrix_size size_arguments(FunctionCallInfo fcinfo) {
  const int32 rows = PG_GETARG_INT32(1), columns = PG_GETARG_INT32(2);
  if (rows <= 0 || columns <= 0) {
    throw error(sqlstate::invalid_parameter_value, "rows and cols must be positive");
  }
  const matrix_size size = {static_cast<std::size_t>(rows), static_cast<std::size_t>(columns)};
  // More than one value can have, and more than BLAS can count.
  if (size.count() > max_weights_bytes / sizeof(float)) {
    throw error(sqlstate::program_limit_exceeded, "matrix too large",
                "It has " + std::to_string(size.count()) + " numbers; the limit is " +
                    std::to_string(max_weights_bytes / sizeof(float)) + ".");
  }
  return size;
}

void require_count(std::size_t found, const matrix_size& size) {
  if (found == size.count()) return;
  throw error(sqlstate::array_subscript_error, "matrix does not have rows x cols numbers",
              "It has " + std::to_string(found) + ", " + std::to_string(size.rows) + " x " +
                  std::to_string(size.columns) + " are " + std::to_string(size.count()) + ".");
}

// NULL asks for all singular values. Asking for more than the matrix has is not an error but gets a NOTICE.
svd_request rank_request(FunctionCallInfo fcinfo, int argument, const matrix_size& size) {
  svd_request request;
  if (PG_ARGISNULL(argument)) return request;
  const int32 rank = PG_GETARG_INT32(argument);
  if (rank <= 0) throw error(sqlstate::invalid_parameter_value, "rank must be positive");
  request.rank = static_cast<std::size_t>(rank);
  const std::size_t most = std::min(size.rows, size.columns);
  if (request.rank > most) {
    call([&] {
      ereport(NOTICE,
              (errmsg("rank %d exceeds that of a %zu x %zu matrix: using %zu", rank, size.rows, size.columns, most)));
    });
    request.rank = most;
  }
  return request;
}

// ---- results ---------------------------------------------------------------------------------------------------

Datum json_datum(const std::string& text) {
  if (text.size() > MaxAllocSize - VARHDRSZ) throw error(sqlstate::program_limit_exceeded, "result too large for JSON");
  return text_datum(text);
}

svd_factors decompose(span<const float> matrix, const matrix_size& size, const svd_request& request,
                      std::uint64_t more_bytes) {
  require_work_memory(more_bytes + svd_work_bytes(size.rows, size.columns, request), "singular value decomposition");
  thread_pool pool = session_pool();
  backend_interrupts interrupts;
  return truncated_svd(matrix, size.rows, size.columns, request, pool, interrupts);
}

// The arguments after the matrix: rows, cols, max_rank, energy, seed.
svd_request full_request(FunctionCallInfo fcinfo, const matrix_size& size) {
  svd_request request = rank_request(fcinfo, 3, size);
  if (PG_ARGISNULL(4) || PG_ARGISNULL(5)) {
    throw error(sqlstate::null_value_not_allowed, "energy and seed cannot be NULL", {},
                "Leave them out for their defaults.");
  }
  request.energy = PG_GETARG_FLOAT8(4);
  if (!(request.energy > 0.0 && request.energy <= 1.0)) {
    throw error(sqlstate::invalid_parameter_value, "energy must be above 0 and at most 1");
  }
  request.seed = static_cast<std::uint64_t>(PG_GETARG_INT64(5));
  return request;
}

bool any_null(FunctionCallInfo fcinfo, int count) {
  for (int i = 0; i < count; ++i) {
    if (PG_ARGISNULL(i)) return true;
  }
  return false;
}

}  // namespace

// ---- the original design's interface ---------------------------------------------------------------------------

HARTONOMOUS_FUNCTION(svd_decompose_json) {
  const matrix_size size = size_arguments(fcinfo);
  const svd_request request = rank_request(fcinfo, 3, size);
  backend_interrupts interrupts;
  require_work_memory(size.count() * sizeof(float), "reading a matrix from JSON");
  const json_matrix matrix =
      parse_json_matrix(text_view_argument(fcinfo, 0), size.count() + 1, size.count(), interrupts);
  require_count(matrix.values.size(), size);
  if (matrix.nested && (matrix.rows != size.rows || matrix.columns != size.columns)) {
    throw error(sqlstate::array_subscript_error, "matrix does not have rows x cols numbers",
                "It has " + std::to_string(matrix.rows) + " rows of " + std::to_string(matrix.columns) + ".");
  }
  const svd_factors f = decompose(matrix.values, size, request, size.count() * sizeof(float));
  std::string out = "{\"U\":";
  append_json_rows(out, f.u, f.rows, f.rank, interrupts);
  out += ",\"S\":";
  append_json_numbers(out, f.s, interrupts);
  out += ",\"VT\":";
  append_json_rows(out, f.vt, f.rank, f.columns, interrupts);
  out += ",\"Rank\":" + std::to_string(f.rank) + ",\"ExplainedVariance\":";
  append_json_number(out, f.explained_variance);
  out += '}';
  return json_datum(out);
}

HARTONOMOUS_FUNCTION(reconstruct_from_svd) {
  constexpr std::size_t limit = max_weights_bytes / sizeof(float);
  backend_interrupts interrupts;
  const auto parse = [&](int argument) {
    const std::string_view json = text_view_argument(fcinfo, argument);
    require_work_memory(json.size(), "reading a matrix from JSON");
    return parse_json_matrix(json, limit, json.size() / 4, interrupts);
  };
  const json_matrix u = parse(0), s = parse(1), vt = parse(2);
  if (s.nested || s.values.empty()) {
    throw error(sqlstate::invalid_parameter_value, "S must be an array of one number or more");
  }
  const std::size_t rank = s.values.size();
  if (!u.nested || !vt.nested || u.columns != rank || vt.rows != rank) {
    throw error(sqlstate::array_subscript_error, "factors do not fit each other",
                "S has " + std::to_string(rank) + " numbers, U rows of " + std::to_string(u.nested ? u.columns : 0) +
                    ", VT " + std::to_string(vt.nested ? vt.rows : 0) + " rows.");
  }
  const matrix_size size = {u.rows, vt.columns};
  if (size.rows > limit / std::max<std::size_t>(size.columns, 1)) {
    throw error(sqlstate::program_limit_exceeded, "matrix too large");
  }
  require_work_memory(size.count() * (sizeof(float) + 12), "multiplying factors");
  std::vector<float> product(size.count());
  thread_pool pool = session_pool();
  add_product({size.rows, size.columns, rank, u.values, s.values, vt.values}, 0, size.rows, product.data(), pool,
              interrupts);
  std::string out;
  append_json_numbers(out, product, interrupts);
  return json_datum(out);
}

// ---- arrays and weights ---------------------------------------------------------------------------------------

HARTONOMOUS_FUNCTION(svd_decompose_weights) {
  if (any_null(fcinfo, 3)) PG_RETURN_NULL();
  const matrix_size size = size_arguments(fcinfo);
  const svd_request request = full_request(fcinfo, size);
  const weights_view w(PG_GETARG_DATUM(0));
  require_count(w.count(), size);
  const weights_floats matrix(w);
  return factors_datum(fcinfo, decompose(matrix.values(), size, request, size.count() * sizeof(float)));
}

HARTONOMOUS_FUNCTION(svd_decompose_real_array) {
  if (any_null(fcinfo, 3)) PG_RETURN_NULL();
  const matrix_size size = size_arguments(fcinfo);
  const svd_request request = full_request(fcinfo, size);
  const real_array_view matrix(PG_GETARG_DATUM(0));
  require_count(matrix.values().size(), size);
  return factors_datum(fcinfo, decompose(matrix.values(), size, request, 0));
}

HARTONOMOUS_FUNCTION(svd_reconstruct) {
  const factors_argument factors(PG_GETARG_DATUM(0));
  require_work_memory(factors.size().count() * sizeof(float), "multiplying factors");
  weights_varlena* product = new_weights(format::F32, factors.size().count());
  auto* values = reinterpret_cast<float*>(product->blocks());
  thread_pool pool = session_pool();
  backend_interrupts interrupts;
  const matrix_size& size = factors.size();
  const std::size_t panel = std::max<std::size_t>((std::size_t{1} << 20) / std::max<std::size_t>(size.columns, 1), 1);
  for (std::size_t row = 0; row < size.rows; row += panel) {
    const std::size_t count = std::min(panel, size.rows - row);
    float* at = values + row * size.columns;
    std::fill_n(at, count * size.columns, 0.0f);
    add_product(factors.view(), row, count, at, pool, interrupts);
  }
  PG_RETURN_POINTER(product);
}

HARTONOMOUS_FUNCTION(svd_error) {
  const weights_view original(PG_GETARG_DATUM(0));
  const factors_argument factors(PG_GETARG_DATUM(1));
  require_count(original.count(), factors.size());
  const weights_floats matrix(original);
  thread_pool pool = session_pool();
  backend_interrupts interrupts;
  PG_RETURN_FLOAT8(factor_error(matrix.values(), factors.view(), pool, interrupts));
}

HARTONOMOUS_FUNCTION(svd_residual) {
  const weights_view original(PG_GETARG_DATUM(0));
  const factors_argument factors(PG_GETARG_DATUM(1));
  require_count(original.count(), factors.size());
  require_work_memory(original.count() * sizeof(float), "a residual");
  weights_varlena* residual = new_weights(format::F32, original.count());
  auto* values = reinterpret_cast<float*>(residual->blocks());
  decode(original, values);
  thread_pool pool = session_pool();
  backend_interrupts interrupts;
  subtract_product(factors.view(), values, pool, interrupts);
  PG_RETURN_POINTER(residual);
}

HARTONOMOUS_FUNCTION(svd_check) {
  const factors_argument factors(PG_GETARG_DATUM(0));
  thread_pool pool = session_pool();
  backend_interrupts interrupts;
  const factor_condition found = examine(factors.view(), pool, interrupts);
  const Datum values[] = {BoolGetDatum(found.finite), BoolGetDatum(found.descending),
                          Float8GetDatum(found.smallest_ratio), Float8GetDatum(found.u_orthonormality),
                          Float8GetDatum(found.vt_orthonormality)};
  const bool nulls[] = {false, false, !found.finite, !found.finite, !found.finite};
  return composite_datum(fcinfo, values, nulls);
}
