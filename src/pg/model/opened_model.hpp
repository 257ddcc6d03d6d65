// Opens the files of a model that a function got as its argument.
#pragma once

#include "pg/base/files.hpp"

#include <memory>
#include <string>
#include <vector>

#include "hartonomous/model_file.hpp"

namespace hartonomous::pg {

// The files given by arguments 0 (source) and 1 (container) or, if there is the config of a checkpoint (argument 2),
// the equivalent GGUF model; `with_tokenizer` if there are arguments 3 (tokenizer), 4 (tokenizer_config) and 5
// (pre_tokenizer, which may be empty). A path of the first part of a split GGUF model, or of the index of a checkpoint
// in several files, stands for all of them, which lie beside it. Raises 0A000 in databases whose encoding is not UTF8.
class opened_model {
 public:
  opened_model(FunctionCallInfo fcinfo, bool with_tokenizer);

  const model_file& file() const noexcept { return model_.file; }
  const std::vector<std::unique_ptr<byte_source>>& sources() const noexcept { return sources_; }
  // The source that the offsets of the tensors refer to.
  byte_source& data() noexcept { return *model_.data; }
  // Warns of what is ignored.
  void warn() const;
  // Whether the files are read as the model that a config describes.
  bool is_checkpoint() const noexcept { return is_checkpoint_; }

 private:
  void open_companions(FunctionCallInfo fcinfo, const std::string& container);
  void open_parts(const std::string& path);
  void open_indexed(const std::string& path);
  std::vector<byte_source*> files() const;

  std::vector<std::unique_ptr<byte_source>> sources_;
  readable_model model_;
  bool is_checkpoint_ = false;
};

}  // namespace hartonomous::pg
