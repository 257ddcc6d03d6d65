// The format that each tensor of a model gets (sql/internal/quantization.sql).
#include "pg/base/arrays.hpp"
#include "pg/base/composite.hpp"
#include "pg/base/rows.hpp"
#include "pg/base/text.hpp"
#include "pg/base/weights.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hartonomous/quantization.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// A value of the SQL type mixture_traits. NULL means unknown, which is 0 here.
mixture_traits traits_argument(FunctionCallInfo fcinfo, int argument) {
  const composite_view row(PG_GETARG_DATUM(argument));
  const auto number = [&](const char* field) {
    const std::optional<Datum> value = row.get(field);
    return value ? DatumGetInt64(*value) : 0;
  };
  const std::optional<Datum> gguf = row.get("gguf");
  const std::optional<Datum> name = row.get("architecture");
  const text* architecture = name ? call([&] { return DatumGetTextPP(*name); }) : nullptr;
  return mixture_traits_of(gguf && DatumGetBool(*gguf), architecture != nullptr ? view_of(architecture) : "",
                           number("blocks"), number("experts"), number("heads"), number("kv_heads"));
}

const quantization_mixture& mixture_argument(FunctionCallInfo fcinfo, int argument) {
  const std::string_view name = text_view_argument(fcinfo, argument);
  const quantization_mixture* mixture = find_mixture(name);
  if (mixture != nullptr) return *mixture;
  std::string names;
  for (const quantization_mixture& known : quantization_mixtures())
    names += (names.empty() ? "" : ", ") + std::string(known.name);
  throw error(sqlstate::invalid_parameter_value, "unknown mixture \"" + std::string(name) + "\"", {},
              "Mixtures are " + names + ".");
}

void require_equal_length(std::size_t a, std::size_t b) {
  if (a != b) throw error(sqlstate::array_subscript_error, "the arrays must have as many elements as there are names");
}

std::uint64_t size_of(Datum number) {
  const int64 value = DatumGetInt64(number);
  if (value < 0) throw error(sqlstate::numeric_value_out_of_range, "sizes of tensors cannot be negative");
  return static_cast<std::uint64_t>(value);
}

}  // namespace

HARTONOMOUS_FUNCTION(mixtures) {
  result_rows rows(fcinfo);
  for (const quantization_mixture& mixture : quantization_mixtures()) {
    const Datum values[] = {text_datum(mixture.name), Int32GetDatum(static_cast<int32>(mixture.type)),
                            text_datum(traits_of(mixture.base).name)};
    const bool nulls[3] = {};
    rows.add(values, nulls);
  }
  PG_RETURN_NULL();
}

HARTONOMOUS_FUNCTION(mixture_named) {
  const quantization_mixture* mixture = find_mixture(text_view_argument(fcinfo, 0));
  if (mixture == nullptr) PG_RETURN_NULL();
  return text_datum(mixture->name);
}

HARTONOMOUS_FUNCTION(fitting_format) {
  const std::string_view name = text_view_argument(fcinfo, 0);
  const format_traits* wanted = find_format(name.data(), name.size());
  if (wanted == nullptr) {
    throw error(sqlstate::invalid_parameter_value, "unknown weight format \"" + std::string(name) + "\"", {},
                "Formats: SELECT format FROM hartonomous.formats() WHERE writable; "
                "mixtures: SELECT mixture FROM hartonomous.mixtures();");
  }
  // Only divisibility by the block size matters, so the negative length of a damaged store needs no special treatment.
  const int64 length = PG_GETARG_INT64(1);
  const std::uint64_t run = length < 0 ? 0 - static_cast<std::uint64_t>(length) : static_cast<std::uint64_t>(length);
  return text_datum(traits_of(fitting_format(wanted->id, run)).name);
}

HARTONOMOUS_FUNCTION(is_quantizable_name) {
  const bool gguf = !PG_ARGISNULL(1) && text_view_argument(fcinfo, 1) == "gguf";
  if (PG_ARGISNULL(0)) PG_RETURN_NULL();
  PG_RETURN_BOOL(may_quantize(text_view_argument(fcinfo, 0), gguf));
}

HARTONOMOUS_FUNCTION(requires_importance) {
  const quantization_mixture* mixture = find_mixture(text_view_argument(fcinfo, 0));
  const format given = format_argument(call([&] { return PG_GETARG_TEXT_PP(2); }));
  PG_RETURN_BOOL(mixture != nullptr && requires_importance(*mixture, text_view_argument(fcinfo, 1), given));
}

HARTONOMOUS_FUNCTION(tensor_formats) {
  const mixture_traits traits = traits_argument(fcinfo, 0);
  const quantization_mixture& mixture = mixture_argument(fcinfo, 1);
  const array_elements names(PG_GETARG_DATUM(3), TEXTOID);
  const array_elements matrices(PG_GETARG_DATUM(4), INT8OID);
  const array_elements runs(PG_GETARG_DATUM(5), INT8OID);
  for (const array_elements* other : {&matrices, &runs}) require_equal_length(other->size(), names.size());
  std::vector<quantized_tensor> tensors;
  tensors.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::uint64_t count = size_of(matrices[i]);
    tensors.push_back({names.text(i), count != 0 && may_quantize(names.text(i), traits.gguf), count, size_of(runs[i])});
  }
  std::vector<std::string_view> given;
  given.reserve(tensors.size());
  for (const format f : mixture_planner(traits, tensors).formats(mixture, PG_GETARG_BOOL(2)))
    given.push_back(traits_of(f).name);
  return text_array(given);
}

HARTONOMOUS_FUNCTION(recognized_format) {
  const mixture_traits traits = traits_argument(fcinfo, 0);
  const quantization_mixture* asked = find_mixture(text_view_argument(fcinfo, 1));
  const array_elements names(PG_GETARG_DATUM(2), TEXTOID);
  const array_elements matrices(PG_GETARG_DATUM(3), INT8OID);
  const array_elements formats(PG_GETARG_DATUM(4), TEXTOID);
  const array_elements weights(PG_GETARG_DATUM(5), INT8OID);
  const array_elements runs(PG_GETARG_DATUM(6), INT8OID);
  for (const array_elements* other : {&matrices, &formats, &weights, &runs}) {
    require_equal_length(other->size(), names.size());
  }
  std::vector<stored_tensor_outline> tensors;
  tensors.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    tensors.push_back({names.text(i), size_of(matrices[i]),
                       format_argument(call([&] { return DatumGetTextPP(formats[i]); })), size_of(weights[i]),
                       size_of(runs[i])});
  }
  const std::optional<std::string> name = main_format(traits, tensors, asked);
  if (!name) PG_RETURN_NULL();
  return text_datum(*name);
}
