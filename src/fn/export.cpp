// Export of models to files (sql/internal/export.sql).
#include "pg/store/atom_reader.hpp"
#include "pg/base/files.hpp"
#include "pg/store/layer_row.hpp"
#include "pg/store/locked_snapshot.hpp"

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
  std::string name, dtype;  // dtype: as safetensors names it
  std::vector<std::uint64_t> shape;
  atom_layout layout;
  format target;
  bool packed;                    // elements of less than 8 bits, carried as bytes
  std::optional<format> unknown;  // a type of ggml's that is carried as bytes
  std::uint64_t bytes;            // of those
};

struct export_plan {
  std::string metadata;
  // What takes the place of the provenance in the metadata; no value: they stay as they are. Only for safetensors.
  std::optional<safetensors_metadata> replaced;
  std::optional<std::uint32_t> file_type;  // has to be set if the formats differ from the source file's
  std::vector<layer_plan> layers;
};

// The number of weights that the shape implies, capped at the largest 64-bit number.
std::uint64_t weights_of(const std::vector<std::uint64_t>& shape) {
  std::uint64_t product = 1;
  for (std::uint64_t d : shape) {
    if (__builtin_mul_overflow(product, d, &product)) return UINT64_MAX;
  }
  return product;
}

layer_plan read_layer(const query_result& found, std::uint64_t i) {
  layer_plan layer;
  layer.layer_id = found.bigint(i, 1);
  layer.name = found.text(i, 2);
  layer.dtype = found.text(i, 3);
  const std::vector<std::int64_t> shape = found.bigints(i, 4, 0);
  layer.shape.assign(shape.begin(), shape.end());
  // Elements of less than 8 bits are carried as bytes, so their number is not the product of the shape.
  const std::uint64_t of_shape = weights_of(layer.shape);
  const auto carried = static_cast<std::uint64_t>(found.bigint(i, 7, 0, most_weights));
  layer.unknown = unknown_type_named(layer.dtype);
  layer.bytes = layer.unknown ? carried : 0;
  layer.packed = carried < of_shape && !layer.unknown;
  layer.layout = layout_of_row(found, i, 5, 6, layer.unknown ? carried : std::min(of_shape, carried), layer.name);
  const std::string target = found.text(i, 8);
  const format_traits* traits = find_format(target.data(), target.size());
  if (traits == nullptr) throw error(sqlstate::invalid_parameter_value, "unknown weight format \"" + target + "\"");
  layer.target = traits->id;
  return layer;
}

// Keys of provenance with their prefix, and their values as text.
safetensors_metadata read_provenance(const query_argument& keys) {
  const query_result found = select(
      "SELECT hartonomous_internal.provenance_prefix() || e.key, e.value FROM jsonb_each_text($1) e (key, value)",
      "models", {keys});
  safetensors_metadata pairs;
  for (std::uint64_t i = 0; i < found.rows(); ++i) pairs.emplace_back(found.text(i, 1), found.text(i, 2));
  return pairs;
}

export_plan read_plan(std::int32_t model, const char* container, bool provenance) {
  export_plan plan;
  const query_argument of_model = {INT4OID, Int32GetDatum(model)},
                       of_container = {TEXTOID, call([&] { return CStringGetTextDatum(container); })};
  const query_result planned =
      select("SELECT hartonomous_internal.export_plan_json($1, $2) AS plan", "model_layers", {of_model, of_container});
  const query_argument of_plan = {JSONBOID, planned.value(0, 1, JSONBOID)};
  {
    const query_result found = select(
        "SELECT m.metadata::text, m.file_type, m.replaced "
        "FROM hartonomous_internal.export_metadata($1, $2, $3, $4) m",
        "models", {of_model, of_container, of_plan, {BOOLOID, BoolGetDatum(provenance)}});
    if (found.optional(0, 1, TEXTOID)) plan.metadata = found.text(0, 1);
    const std::optional<Datum> file_type = found.optional(0, 2, INT4OID);
    if (file_type) plan.file_type = DatumGetUInt32(*file_type);
    const std::optional<Datum> replaced = found.optional(0, 3, JSONBOID);
    if (replaced) plan.replaced = read_provenance({JSONBOID, *replaced});
  }
  const query_result found = select(
      "SELECT p.layer_id, p.layer_name, p.export_dtype, p.tensor_shape, p.row_length, p.atom_size, "
      "p.parameter_count, p.storage_format FROM hartonomous_internal.planned_tensors($1) p",
      "model_layers", {of_plan});
  for (std::uint64_t i = 0; i < found.rows(); ++i) plan.layers.push_back(read_layer(found, i));
  return plan;
}

// `source` is the header of the source file, or empty. If it still describes the tensors and there is nothing to
// replace in its metadata, it is written unchanged.
std::string safetensors_header(const std::string& source, const std::vector<safetensors_tensor>& tensors,
                               const std::optional<safetensors_metadata>& replaced) {
  if (!replaced && !source.empty() && header_matches(source, tensors)) {
    std::string header;
    const std::uint64_t length = source.size();
    for (int i = 0; i < 8; ++i) header.push_back(static_cast<char>(length >> (8 * i) & 0xFF));
    return header + source;
  }
  safetensors_metadata metadata = metadata_of_header(source);
  if (replaced) {
    const auto is_provenance = [](const auto& item) { return item.first.rfind("hartonomous.", 0) == 0; };
    metadata.erase(std::remove_if(metadata.begin(), metadata.end(), is_provenance), metadata.end());
    metadata.insert(metadata.end(), replaced->begin(), replaced->end());
  }
  return make_safetensors_header(tensors, metadata);
}

// Combines small writes, one per atom, into large ones.
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

// Passes everything on to a gguf_writer or a plain sink.
class tensor_sink final : public byte_sink {
 public:
  explicit tensor_sink(std::function<void(const void*, std::size_t)> write) : write_(std::move(write)) {}
  void write(const void* from, std::size_t count) override { write_(from, count); }

 private:
  std::function<void(const void*, std::size_t)> write_;
};

using make_output = std::function<std::unique_ptr<output>(std::uint64_t size)>;

// The output is created only after the plan is complete, so that an export that fails before leaves no file behind.
Datum export_as_gguf(std::int32_t model, bool provenance, const make_output& make) {
  spi_session spi;
  const export_plan plan = read_plan(model, "gguf", provenance);
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
    const format type = layer.unknown.value_or(layer.target);
    tensors.push_back({layer.name, {layer.shape.rbegin(), layer.shape.rend()}, type, layer.bytes});
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

Datum export_as_safetensors(std::int32_t model, bool provenance, const make_output& make) {
  spi_session spi;
  const export_plan plan = read_plan(model, "safetensors", provenance);
  std::vector<safetensors_tensor> tensors;
  std::uint64_t bytes = 0;
  for (const layer_plan& layer : plan.layers) {
    if (layer.unknown) {
      throw error(sqlstate::feature_not_supported,
                  "tensor \"" + layer.name + "\" cannot be written to a safetensors file",
                  "It is of type " + layer.dtype + ", which this version does not know.", "Export the model as GGUF.");
    }
    tensors.push_back({layer.name, layer.dtype, layer.shape, 0, 0});
    bytes += safetensors_bytes(layer.dtype, layer.shape);
  }
  const std::string header = safetensors_header(plan.metadata, tensors, plan.replaced);
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

// Arguments of the SQL functions: model, container, then what says where it goes, and at last provenance.
Datum export_model(FunctionCallInfo fcinfo, int last_argument, const make_output& make) {
  const std::int32_t model = PG_GETARG_INT32(0);
  const locked_snapshot snapshot(model);
  const text* name = call([&] { return PG_GETARG_TEXT_PP(1); });
  const std::string container(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
  const bool provenance = PG_GETARG_BOOL(last_argument);
  if (container == "gguf") return export_as_gguf(model, provenance, make);
  if (container == "safetensors") return export_as_safetensors(model, provenance, make);
  throw error(sqlstate::invalid_parameter_value, "unknown container \"" + container + "\"");
}

}  // namespace

HARTONOMOUS_FUNCTION(export_to_file) {
  const std::string path = call([&] { return text_to_cstring(PG_GETARG_TEXT_PP(2)); });
  return export_model(fcinfo, 3, [&](std::uint64_t) { return make_file_output(path); });
}

HARTONOMOUS_FUNCTION(export_to_bytea) {
  const MemoryContext context = CurrentMemoryContext;
  return export_model(fcinfo, 2, [&](std::uint64_t size) { return make_bytea_output(size, context); });
}

HARTONOMOUS_FUNCTION(export_to_large_object) {
  return export_model(fcinfo, 2, [](std::uint64_t) { return make_large_object_output(); });
}
