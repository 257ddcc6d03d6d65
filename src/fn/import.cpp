// Import of model files as atoms (sql/internal/import.sql).
#include "pg/base/arrays.hpp"
#include "pg/model/opened_model.hpp"
#include "pg/store/atom_writer.hpp"
#include "pg/base/guc.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/store/layer_row.hpp"
#include "pg/store/owner_identity.hpp"
#include "pg/base/rows.hpp"
#include "pg/base/spi.hpp"
#include "pg/base/text.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hartonomous/codec.hpp"
#include "hartonomous/model_file.hpp"
#include "hartonomous/space.hpp"

extern "C" {
#include "catalog/namespace.h"
}

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

Datum bigint_array(const std::vector<std::uint64_t>& numbers) {
  return call([&] {
    Datum* values = static_cast<Datum*>(palloc(sizeof(Datum) * (numbers.size() + 1)));
    for (std::size_t i = 0; i < numbers.size(); ++i) values[i] = Int64GetDatum(static_cast<int64>(numbers[i]));
    return PointerGetDatum(
        construct_array(values, static_cast<int>(numbers.size()), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
  });
}

// The layer in the store for a tensor of the file.
struct target_layer {
  std::int64_t layer_id;
  atom_layout layout;
};

struct loaded {
  float min_x, min_y, max_x, max_y;
};

// The bytes of a tensor. They are read at once if they fit into a quarter of the memory budget, so that they are read
// from the file only once; otherwise in chunks.
class tensor_bytes {
 public:
  explicit tensor_bytes(byte_source& source) : source_(source) {}

  void begin(const model_tensor& tensor) {
    tensor_ = &tensor;
    first_ = size_ = 0;
    if (tensor.bytes <= static_cast<std::uint64_t>(current_settings.max_work_memory_kb) * 1024 / 4)
      fill(0, tensor.bytes);
  }
  // `count` bytes from `offset` on, valid until the next call.
  const std::byte* at(std::uint64_t offset, std::uint64_t count) {
    if (offset < first_ || offset + count > first_ + size_) {
      fill(offset, std::min(std::max(piece, count), tensor_->bytes - offset));
    }
    return memory_.data() + (offset - first_);
  }

 private:
  static constexpr std::uint64_t piece = 4 << 20;

  void fill(std::uint64_t offset, std::uint64_t count) {
    require_work_memory(count, "reading a matrix row");
    if (memory_.size() < count) memory_ = buffer<std::byte>(count);
    for (std::uint64_t done = 0; done < count; done += piece) {
      source_.read(tensor_->offset + offset + done, memory_.data() + done, std::min(piece, count - done));
      interrupts_.check();
    }
    first_ = offset;
    size_ = count;
  }

  byte_source& source_;
  backend_interrupts interrupts_;
  const model_tensor* tensor_ = nullptr;
  buffer<std::byte> memory_;
  std::uint64_t first_ = 0, size_ = 0;  // the range of the tensor that is in memory_
};

// The rows of a tensor as floats.
class file_rows final : public matrix_rows {
 public:
  file_rows(tensor_bytes& bytes, const model_tensor& tensor)
      : bytes_(bytes), tensor_(tensor), row_bytes_(bytes_of(tensor.storage, tensor.row_length)) {}

  void sample(span<const std::uint64_t> rows, float* to) override {
    for (std::size_t i = 0; i < rows.size(); ++i) read(rows[i], to + i * tensor_.row_length);
  }
  void next(float* to) override { read(next_++, to); }

 private:
  void read(std::uint64_t row, float* to) {
    dequantize(tensor_.storage, {bytes_.at(row * row_bytes_, row_bytes_), row_bytes_}, tensor_.row_length, to,
               interrupts_);
  }

  tensor_bytes& bytes_;
  const model_tensor& tensor_;
  std::uint64_t row_bytes_, next_ = 0;
  backend_interrupts interrupts_;
};

// Loads the tensors of one file.
class loader {
 public:
  loader(byte_source& source, atom_writer& writer, std::uint64_t total_bytes)
      : bytes_(source), writer_(writer), total_bytes_(total_bytes) {}

  loaded load(const model_tensor& tensor, const target_layer& layer) {
    writer_.begin_tensor(layer.layer_id, tensor.name.c_str());
    bytes_.begin(tensor);
    const bool positioned = tensor.shape.size() > 1 && traits_of(tensor.storage).readable && tensor.weights > 0;
    if (!positioned) {
      write_atoms(tensor, layer.layout, nullptr);
      return {default_atom_position.x, default_atom_position.y, default_atom_position.x, default_atom_position.y};
    }
    require_work_memory(atom_positions_bytes(layer.layout), "computing the positions of a tensor's atoms");
    thread_pool pool;
    file_rows rows(bytes_, tensor);
    const std::vector<atom_position> positions = atom_positions(layer.layout, rows, pool, interrupts_);
    write_atoms(tensor, layer.layout, &positions);
    loaded box = {100, 100, 0, 0};
    for (const atom_position& p : positions) {
      box.min_x = std::min(box.min_x, p.x);
      box.min_y = std::min(box.min_y, p.y);
      box.max_x = std::max(box.max_x, p.x);
      box.max_y = std::max(box.max_y, p.y);
    }
    return box;
  }

 private:
  // Atoms are contiguous in the file: row by row, and within a row a whole number of blocks each.
  void write_atoms(const model_tensor& tensor, const atom_layout& layout, const std::vector<atom_position>* positions) {
    std::uint64_t offset = 0;
    for (std::uint64_t atom = 0; atom < layout.atoms(); ++atom) {
      const std::uint64_t count = layout.length_of(atom);
      const std::uint64_t bytes = bytes_of(tensor.storage, count);
      writer_.add(static_cast<std::int32_t>(atom), tensor.storage, static_cast<std::uint32_t>(count),
                  bytes_.at(offset, bytes), positions != nullptr ? (*positions)[atom] : default_atom_position);
      offset += bytes;
      if (atom % 64 == 0) {
        interrupts_.check();
        report(offset);
      }
    }
    done_bytes_ += tensor.bytes;
  }

  void report(std::uint64_t of_this_tensor) {
    pgstat_progress_update_param(PROGRESS_COPY_BYTES_PROCESSED,
                                 static_cast<int64>(std::min(done_bytes_ + of_this_tensor, total_bytes_)));
    pgstat_progress_update_param(PROGRESS_COPY_TUPLES_PROCESSED, static_cast<int64>(writer_.rows()));
  }

  tensor_bytes bytes_;
  atom_writer& writer_;
  backend_interrupts interrupts_;
  std::uint64_t total_bytes_, done_bytes_ = 0;
};

// The layers of a model in the order of the file, checked against the file.
std::vector<target_layer> read_layers(std::int32_t model, const model_file& file) {
  const spi_session spi;
  const query_result found = execute(
      "SELECT layer_id, layer_name, row_length, atom_size FROM hartonomous.model_layers "
      "WHERE model_id = $1 ORDER BY position",
      "model_layers", {{INT4OID, Int32GetDatum(model)}});
  if (found.rows() != file.tensors.size()) {
    throw error(sqlstate::object_not_in_prerequisite_state, "the model's tensors are not those of the file");
  }
  std::vector<target_layer> layers;
  for (std::uint64_t i = 0; i < found.rows(); ++i) {
    const model_tensor& tensor = file.tensors[i];
    const target_layer layer = {found.bigint(i, 1), layout_of_row(found, i, 3, 4, tensor.weights, tensor.name)};
    const std::string name = found.text(i, 2);
    if (name != tensor.name || layer.layout.row_length != tensor.row_length) {
      throw error(sqlstate::object_not_in_prerequisite_state,
                  "layer \"" + name + "\" is not the file's tensor \"" + tensor.name + "\"");
    }
    layers.push_back(layer);
  }
  return layers;
}

// SHA-256 of the concatenated sources, as bytea.
Datum sha256_of(const std::vector<std::unique_ptr<byte_source>>& sources) {
  pg_cryptohash_ctx* context = call([] { return pg_cryptohash_create(PG_SHA256); });
  auto* result = static_cast<bytea*>(allocate(VARHDRSZ + PG_SHA256_DIGEST_LENGTH));
  SET_VARSIZE(result, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
  std::vector<std::uint8_t> piece(1 << 20);
  backend_interrupts interrupts;
  bool good = pg_cryptohash_init(context) == 0;
  for (const auto& source : sources) {
    for (std::uint64_t at = 0; good && at < source->size(); at += piece.size()) {
      const std::size_t n = std::min<std::uint64_t>(piece.size(), source->size() - at);
      source->read(at, piece.data(), n);
      good = pg_cryptohash_update(context, piece.data(), n) == 0;
      interrupts.check();
    }
  }
  good = good &&
         pg_cryptohash_final(context, reinterpret_cast<std::uint8_t*>(VARDATA(result)), PG_SHA256_DIGEST_LENGTH) == 0;
  pg_cryptohash_free(context);
  if (!good) throw error(sqlstate::internal_error, "could not compute sha256");
  return PointerGetDatum(result);
}

Datum metadata_of(const opened_model& model) {
  const char* metadata = model.file().metadata_json.c_str();
  return call([&] { return DirectFunctionCall1(jsonb_in, CStringGetDatum(metadata)); });
}

// A shape in the text form of bigint[], because an array of arrays cannot hold shapes of different lengths.
std::string shape_text(const std::vector<std::uint64_t>& shape) {
  std::string result = "{";
  for (std::size_t i = 0; i < shape.size(); ++i)
    result += (i > 0 ? "," : "") + std::to_string(static_cast<std::int64_t>(shape[i]));
  return result + "}";
}

// Where the tensors of an import are loaded.
struct import_target {
  std::int32_t model, revision;
  Oid partition;
};

// Creates the rows of the model and its tensors, which is implemented in SQL.
import_target begin_import(FunctionCallInfo fcinfo, const opened_model& opened, Datum metadata, Datum sha256) {
  std::vector<std::string> shape_texts;
  std::vector<std::string_view> names, dtypes, formats, shapes;
  std::vector<std::uint64_t> row_lengths, counts;
  for (const model_tensor& t : opened.file().tensors) {
    names.push_back(t.name);
    dtypes.push_back(t.dtype);
    formats.push_back(traits_of(t.storage).name);
    shape_texts.push_back(shape_text(t.shape));
    row_lengths.push_back(t.row_length);
    counts.push_back(t.weights);
  }
  shapes.assign(shape_texts.begin(), shape_texts.end());
  const spi_session spi;
  const query_result begun = execute(
      "SELECT b.model, b.revision, b.partition FROM hartonomous_internal.begin_import($1, $2, $3, $4, $5, $6, $7, $8, "
      "$9, $10) b",
      "models",
      {{TEXTOID, PG_GETARG_DATUM(6)},
       {INT4OID, PG_GETARG_DATUM(7)},
       {JSONBOID, metadata},
       {BYTEAOID, sha256},
       {TEXTARRAYOID, text_array(names)},
       {TEXTARRAYOID, text_array(dtypes)},
       {TEXTARRAYOID, text_array(formats)},
       {TEXTARRAYOID, text_array(shapes)},
       {INT8ARRAYOID, bigint_array(row_lengths)},
       {INT8ARRAYOID, bigint_array(counts)}});
  return {begun.integer(0, 1), begun.integer(0, 2), DatumGetObjectId(begun.value(0, 3, OIDOID))};
}

// To add models takes a right that other operators do not need.
void require_importer() {
  call([] {
    const Oid models = get_relname_relid("models", get_namespace_oid("hartonomous", true));
    if (!OidIsValid(models)) return;
    const AclResult allowed = pg_class_aclcheck(models, GetUserId(), ACL_INSERT);
    if (allowed != ACLCHECK_OK) aclcheck_error(allowed, OBJECT_TABLE, "models");
  });
}

// Raises 0A000 if the file is only a part of a model.
void refuse_piece(Datum metadata, Datum file_name) {
  const spi_session spi;
  select("SELECT hartonomous_internal.refuse_piece($1, $2)", "models", {{JSONBOID, metadata}, {TEXTOID, file_name}});
}

}  // namespace

HARTONOMOUS_FUNCTION(file_metadata) {
  const opened_model model(fcinfo, true);
  return metadata_of(model);
}

HARTONOMOUS_FUNCTION(file_tensors) {
  const opened_model model(fcinfo, false);
  result_rows rows(fcinfo);
  int position = 0;
  for (const model_tensor& t : model.file().tensors) {
    const Datum values[] = {Int32GetDatum(position++),
                            text_datum(t.name),
                            text_datum(t.dtype),
                            text_datum(traits_of(t.storage).name),
                            bigint_array(t.shape),
                            Int64GetDatum(static_cast<int64>(t.row_length)),
                            Int64GetDatum(static_cast<int64>(t.weights)),
                            Int64GetDatum(static_cast<int64>(t.bytes))};
    const bool nulls[8] = {};
    rows.add(values, nulls);
  }
  PG_RETURN_NULL();
}

HARTONOMOUS_FUNCTION(file_sha256) { return sha256_of(source_argument(fcinfo, 0)); }

// The file stays open from the header to the last weight; SQL creates the rows in between, in begin_import().
HARTONOMOUS_FUNCTION(import_file) {
  opened_model opened(fcinfo, true);
  const model_file& file = opened.file();
  const Datum metadata = metadata_of(opened);
  const bool named = call([&] { return get_fn_expr_argtype(fcinfo->flinfo, 0); }) == TEXTOID;
  const bool alone = opened.sources().size() == 1 && !opened.is_checkpoint();
  refuse_piece(metadata, named && alone ? PG_GETARG_DATUM(0) : text_datum(""));
  opened.warn();
  // What the caller passed has been opened with the rights of the caller.
  require_importer();
  const owner_identity identity;
  const import_target target = begin_import(fcinfo, opened, metadata, sha256_of(opened.sources()));
  const std::vector<target_layer> layers = read_layers(target.model, file);
  result_rows rows(fcinfo);
  std::uint64_t total = 0;
  for (const model_tensor& t : file.tensors) total += t.bytes;
  pgstat_progress_start_command(PROGRESS_COMMAND_COPY, target.partition);
  pgstat_progress_update_param(PROGRESS_COPY_BYTES_TOTAL, static_cast<int64>(total));
  atom_writer writer(target.partition, target.model, target.revision);
  loader load(opened.data(), writer, total);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::uint64_t before = writer.rows();
    const loaded box = load.load(file.tensors[i], layers[i]);
    const Datum values[] = {Int64GetDatum(layers[i].layer_id),
                            Int64GetDatum(static_cast<int64>(writer.rows() - before)),
                            Int64GetDatum(static_cast<int64>(file.tensors[i].bytes)),
                            Float4GetDatum(box.min_x),
                            Float4GetDatum(box.min_y),
                            Float4GetDatum(box.max_x),
                            Float4GetDatum(box.max_y)};
    const bool nulls[7] = {};
    rows.add(values, nulls);
  }
  writer.finish();
  pgstat_progress_end_command();
  PG_RETURN_NULL();
}
