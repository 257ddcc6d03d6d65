// Writing models to files (sql/45-export.sql).
#include "pg/atom_reader.hpp"
#include "pg/files.hpp"
#include "pg/settled_snapshot.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "hartonomous/gguf.hpp"
#include "hartonomous/safetensors.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

struct layer_plan {
  std::int64_t layer_id;
  std::string name, dtype;  // dtype: the container's, for safetensors
  std::vector<std::uint64_t> shape;
  atom_layout layout;
  format target;
  bool packed;  // elements below 8 bits, carried as their bytes
};

struct export_plan {
  std::string metadata;
  std::optional<std::uint32_t> file_type;  // to be set, when the formats are not the source file's any more
  std::vector<layer_plan> layers;
};

std::vector<std::uint64_t> shape_field(std::uint64_t row, int column) {
  bool is_null;
  const Datum value = spi_field(row, column, &is_null);
  const ArrayType* array = call([&] { return DatumGetArrayTypeP(value); });
  const int n = call([&] { return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)); });
  const auto* numbers = reinterpret_cast<const int64*>(ARR_DATA_PTR(array));
  return std::vector<std::uint64_t>(numbers, numbers + n);
}

export_plan read_plan(std::int32_t model, const char* container) {
  export_plan plan;
  Oid types[] = {INT4OID, TEXTOID, JSONBOID};
  Datum values[] = {Int32GetDatum(model), call([&] { return CStringGetTextDatum(container); }), Datum{0}};
  const auto select = [&](const char* query, int arguments) {
    call([&] { SPI_execute_with_args(query, arguments, types, values, nullptr, true, 0); });
  };
  bool is_null;
  select("SELECT hartonomous.export_plan_json($1, $2)", 2);
  values[2] = spi_field(0, 1, &is_null);
  select("SELECT m.metadata::text, m.file_type FROM hartonomous.export_metadata($1, $2, $3) m", 3);
  plan.metadata = spi_text(0, 1);
  bool unchanged;
  const Datum file_type = spi_field(0, 2, &unchanged);
  if (!unchanged) plan.file_type = DatumGetUInt32(file_type);
  select(
      "SELECT p.layer_id, p.layer_name, p.export_dtype, p.tensor_shape, p.row_length, p.atom_size, "
      "p.parameter_count, p.storage_format FROM hartonomous.planned_tensors($3) p",
      3);
  for (std::uint64_t i = 0; i < SPI_processed; ++i) {
    layer_plan layer;
    layer.layer_id = spi_int64(i, 1);
    layer.name = spi_text(i, 2);
    layer.dtype = spi_text(i, 3);
    layer.shape = shape_field(i, 4);
    layer.layout.row_length = static_cast<std::uint64_t>(spi_int64(i, 5));
    layer.layout.atom_size = static_cast<std::uint32_t>(spi_int32(i, 6));
    const std::string target = spi_text(i, 8);
    const format_traits* traits = find_format(target.data(), target.size());
    if (traits == nullptr) throw error(sqlstate::invalid_parameter_value, "unknown weight format \"" + target + "\"");
    layer.target = traits->id;
    std::uint64_t weights = layer.layout.row_length > 0 ? 1 : 0;
    for (std::uint64_t d : layer.shape) weights *= d;
    // Elements below 8 bits are carried as bytes, so that the shape's product is not their number.
    const auto carried = static_cast<std::uint64_t>(spi_int64(i, 7));
    layer.packed = carried < weights;
    weights = std::min(weights, carried);
    layer.layout.rows = layer.layout.row_length > 0 ? weights / layer.layout.row_length : 0;
    plan.layers.push_back(std::move(layer));
  }
  return plan;
}

// Small writes (an atom each) become large ones.
class buffered_sink final : public byte_sink {
 public:
  explicit buffered_sink(byte_sink& under) : under_(under) { pending_.reserve(capacity); }
  void write(const void* from, std::size_t count) override {
    const char* at = static_cast<const char*>(from);
    if (pending_.size() + count > capacity) flush();
    if (count > capacity) {
      under_.write(at, count);
    } else {
      pending_.insert(pending_.end(), at, at + count);
    }
  }
  void flush() {
    if (!pending_.empty()) under_.write(pending_.data(), pending_.size());
    pending_.clear();
  }

 private:
  static constexpr std::size_t capacity = 1 << 20;
  byte_sink& under_;
  std::vector<char> pending_;
};

// Passes what a gguf_writer or a plain sink is given on to it.
class tensor_sink final : public byte_sink {
 public:
  explicit tensor_sink(std::function<void(const void*, std::size_t)> write) : write_(std::move(write)) {}
  void write(const void* from, std::size_t count) override { write_(from, count); }

 private:
  std::function<void(const void*, std::size_t)> write_;
};

using make_output = std::function<std::unique_ptr<output>(std::uint64_t size)>;

// The output does not exist before the plan is complete: an export that cannot start leaves no file.
Datum export_as_gguf(std::int32_t model, const make_output& make) {
  spi_session spi;
  const export_plan plan = read_plan(model, "gguf");
  gguf_metadata metadata;
  metadata_from_json(plan.metadata, metadata);
  if (plan.file_type) {
    metadata.set_uint32("general.file_type", *plan.file_type);
    metadata.set_uint32("general.quantization_version", 2);
  }
  std::vector<gguf_tensor_spec> tensors;
  for (const layer_plan& layer : plan.layers) {
    if (layer.packed) {
      throw error(sqlstate::feature_not_supported, "tensor \"" + layer.name + "\" cannot be written to a GGUF file",
                  "Its elements have fewer than 8 bits (a dtype such as F4 or F6_E3M2), and GGUF has no such type.",
                  "Export the model as safetensors.");
    }
    tensors.push_back({layer.name, {layer.shape.rbegin(), layer.shape.rend()}, layer.target});
  }
  struct counter final : byte_sink {
    void write(const void*, std::size_t) override {}
  } nowhere;
  const std::uint64_t size = gguf_writer(nowhere, metadata, tensors).file_size();
  const auto out = make(size);
  buffered_sink buffered(*out);
  gguf_writer writer(buffered, metadata, tensors);
  writer.write_header();
  atom_reader reader(live_atoms(model));
  tensor_sink sink([&](const void* from, std::size_t count) { writer.write(from, count); });
  for (std::size_t i = 0; i < plan.layers.size(); ++i) {
    const layer_plan& layer = plan.layers[i];
    writer.begin_tensor(i);
    reader.copy_tensor({layer.layer_id, layer.name, layer.layout, false}, layer.target, sink);
    writer.end_tensor();
  }
  buffered.flush();
  return out->finish();
}

Datum export_as_safetensors(std::int32_t model, const make_output& make) {
  spi_session spi;
  const export_plan plan = read_plan(model, "safetensors");
  std::vector<safetensors_tensor> tensors;
  std::uint64_t bytes = 0;
  for (const layer_plan& layer : plan.layers) {
    tensors.push_back({layer.name, layer.dtype, layer.shape, 0, 0});
    bytes += safetensors_bytes(layer.dtype, layer.shape);
  }
  // plan.metadata is the source file's header, or empty. It is written again as it was where it still holds.
  std::string header;
  if (!plan.metadata.empty() && header_matches(plan.metadata, tensors)) {
    const std::uint64_t length = plan.metadata.size();
    for (int i = 0; i < 8; ++i) header.push_back(static_cast<char>(length >> (8 * i) & 0xFF));
    header += plan.metadata;
  } else {
    header = make_safetensors_header(tensors, {});
  }
  const auto out = make(header.size() + bytes);
  buffered_sink buffered(*out);
  buffered.write(header.data(), header.size());
  atom_reader reader(live_atoms(model));
  for (const layer_plan& layer : plan.layers) {
    reader.copy_tensor({layer.layer_id, layer.name, layer.layout, false}, layer.target, buffered);
  }
  buffered.flush();
  return out->finish();
}

Datum export_model(FunctionCallInfo fcinfo, const make_output& make) {
  const std::int32_t model = PG_GETARG_INT32(0);
  const settled_snapshot snapshot(model);
  const text* name = call([&] { return PG_GETARG_TEXT_PP(1); });
  const std::string container(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
  if (container == "gguf") return export_as_gguf(model, make);
  if (container == "safetensors") return export_as_safetensors(model, make);
  throw error(sqlstate::invalid_parameter_value, "unknown model file format \"" + container + "\"");
}

}  // namespace

HARTONOMOUS_FUNCTION(export_to_file) {
  const std::string path = call([&] { return text_to_cstring(PG_GETARG_TEXT_PP(2)); });
  return export_model(fcinfo, [&](std::uint64_t) { return make_file_output(path); });
}

HARTONOMOUS_FUNCTION(export_to_bytea) {
  MemoryContext const context = CurrentMemoryContext;
  return export_model(fcinfo, [&](std::uint64_t size) { return make_bytea_output(size, context); });
}

HARTONOMOUS_FUNCTION(export_to_large_object) {
  return export_model(fcinfo, [](std::uint64_t) { return make_large_object_output(); });
}
