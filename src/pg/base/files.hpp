// Where model files come from and go to: server paths, bytea values, large objects.
#pragma once

#include "pg/base/memory.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hartonomous/bytes.hpp"

namespace hartonomous::pg {

// One or several files. The argument's SQL type says what it is: text a path on the server (needs
// pg_read_server_files), text[] several, bytea the file itself, oid a large object. Errors: 42501, 22004 a NULL path,
// 22023 no path, those of opening a file.
std::vector<std::unique_ptr<byte_source>> source_argument(FunctionCallInfo fcinfo, int argument);

// Output that is complete only after finish(); dropped before, it leaves nothing behind.
class output : public byte_sink {
 public:
  virtual Datum finish() = 0;  // the SQL result: bytes written (a path), the value (bytea), the oid (large object)
};

// A server file (needs pg_write_server_files): written beside its name and renamed into place. Absolute paths only.
std::unique_ptr<output> make_file_output(const std::string& path);
// A bytea of `size` bytes, the writer's own plan, in `context`.
std::unique_ptr<output> make_bytea_output(std::uint64_t size, MemoryContext context);
// A new large object.
std::unique_ptr<output> make_large_object_output();

}  // namespace hartonomous::pg
