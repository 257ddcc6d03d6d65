// Opening the files of a model (opened_model.hpp).
#include "pg/model/opened_model.hpp"
#include "pg/base/guc.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/memory.hpp"
#include "pg/base/text.hpp"

#include <cstdio>
#include <optional>

#include "hartonomous/checkpoint.hpp"
#include "hartonomous/gguf.hpp"
#include "hartonomous/safetensors.hpp"

namespace hartonomous::pg {

namespace {

std::string json_argument(FunctionCallInfo fcinfo, int argument) {
  return call([&] { return DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(argument))); });
}

// The path if the argument is one, or an array of one; otherwise none.
std::optional<std::string> path_argument(FunctionCallInfo fcinfo, std::size_t sources) {
  const Oid type = call([&] { return get_fn_expr_argtype(fcinfo->flinfo, 0); });
  if (type == TEXTOID) return std::string(text_view_argument(fcinfo, 0));
  if (type != TEXTARRAYOID || sources != 1) return std::nullopt;
  const char* only = call([&] {
    Datum* paths = nullptr;
    int count = 0;
    deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &paths, nullptr, &count);
    return TextDatumGetCString(paths[0]);
  });
  return std::string(only);
}

// Where "-00001-of-" stands in a path that ends as llama.cpp names the first of `count` parts.
std::optional<std::size_t> first_part_of(const std::string& path, std::uint64_t count) {
  char end[40];
  std::snprintf(end, sizeof end, "-00001-of-%05llu.gguf", static_cast<unsigned long long>(count));
  const std::string ending = end;
  if (path.size() <= ending.size() || path.compare(path.size() - ending.size(), std::string::npos, ending) != 0) {
    return std::nullopt;
  }
  return path.size() - ending.size();
}

bool is_named_like_a_part(const std::string& path) { return path.find("-00001-of-") != std::string::npos; }

}  // namespace

std::vector<byte_source*> opened_model::files() const {
  std::vector<byte_source*> pointers;
  for (const auto& source : sources_) pointers.push_back(source.get());
  return pointers;
}

// The other parts have the same name but for their number.
void opened_model::open_parts(const std::string& path) {
  backend_interrupts interrupts;
  const std::optional<gguf_split> split = split_of(read_gguf_header(*sources_.front(), interrupts));
  if (!split || split->number != 0 || split->count < 2) return;
  const std::optional<std::size_t> stem = first_part_of(path, split->count);
  if (!stem) return;
  for (std::uint64_t part = 2; part <= split->count; ++part) {
    char number[40];
    std::snprintf(number, sizeof number, "-%05llu", static_cast<unsigned long long>(part));
    std::string name = path;
    name.replace(*stem, 6, number);  // as long as "-00001"
    try {
      sources_.push_back(open_file(name));
    } catch (const error& e) {
      throw error(e.state(), e.what(),
                  "It is part " + std::to_string(part) + " of " + std::to_string(split->count) + " of the model.",
                  e.hint(), e.thrown());
    }
    interrupts.check();
  }
}

void opened_model::open_indexed(const std::string& path) {
  backend_interrupts interrupts;
  const auto index = read_safetensors_index(*sources_.front(), interrupts);
  if (!index) return;
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
  sources_.clear();
  for (const std::string& name : index->files) sources_.push_back(open_file(folder + name));
  check_safetensors_index(*index, files(), interrupts);
}

void opened_model::open_companions(FunctionCallInfo fcinfo, const std::string& container) {
  const std::optional<std::string> path = path_argument(fcinfo, sources_.size());
  if (!path) return;
  if (container == "gguf" && is_named_like_a_part(*path)) open_parts(*path);
  if (container == "safetensors") open_indexed(*path);
}

void opened_model::warn() const {
  if (model_.unknown_members.empty()) return;
  std::string names;
  for (const std::string& name : model_.unknown_members) names += (names.empty() ? "" : ", ") + name;
  const char* const text = names.c_str();
  call([&] {
    ereport(WARNING, (errmsg("members of the config that are not known are ignored: %s", text),
                      errhint("If one of them changes the network, the model computes something else here.")));
  });
}

opened_model::opened_model(FunctionCallInfo fcinfo, bool with_tokenizer) : sources_(source_argument(fcinfo, 0)) {
  // Tensor names and tokens are UTF-8, and are stored in text and jsonb without conversion.
  if (call([] { return GetDatabaseEncoding(); }) != PG_UTF8) {
    throw error(sqlstate::feature_not_supported, "models can be imported into UTF8 databases only");
  }
  const std::string container(text_view_argument(fcinfo, 1));
  const std::string config = json_argument(fcinfo, 2);
  is_checkpoint_ = config != "null";
  const std::string tokenizer = with_tokenizer ? json_argument(fcinfo, 3) : "null";
  const std::string tokenizer_config = with_tokenizer ? json_argument(fcinfo, 4) : "null";
  const std::string pre_tokenizer(with_tokenizer ? text_view_argument(fcinfo, 5) : "");
  open_companions(fcinfo, container);
  backend_interrupts interrupts;
  if (!is_checkpoint_) {
    if (tokenizer != "null" || tokenizer_config != "null") {
      throw error(sqlstate::invalid_parameter_value, "a tokenizer requires a config");
    }
    model_ = read_model_files(files(), container, pre_tokenizer, interrupts);
    return;
  }
  if (container != "safetensors") {
    throw error(sqlstate::invalid_parameter_value, "a config requires a safetensors file");
  }
  require_work_memory(16 * (config.size() + tokenizer.size() + tokenizer_config.size()),
                      "reading the config and the tokenizer");
  model_ = read_checkpoint(files(), {config, tokenizer, tokenizer_config, pre_tokenizer}, interrupts);
}

}  // namespace hartonomous::pg
