// Sources and targets of model files: paths on the server, bytea values, large objects.
#pragma once

#include "pg/base/memory.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hartonomous/bytes.hpp"

namespace hartonomous::pg {

// One or several files, depending on the SQL type of the argument: text is a path on the server (needs
// pg_read_server_files), text[] several paths, bytea the contents of a file, oid a large object. Errors: 42501, 22004
// for a NULL path, 22023 for an empty array, and those of opening a file.
std::vector<std::unique_ptr<byte_source>> source_argument(FunctionCallInfo fcinfo, int argument);

// A file on the server, with the same rights and errors.
std::unique_ptr<byte_source> open_file(const std::string& path);

// An output that is complete only after finish(); if destroyed before, it leaves nothing behind.
class output : public byte_sink {
 public:
  virtual Datum finish() = 0;  // the SQL result: bytes written (a path), the value (bytea), the oid (large object)
};

// A file on the server (needs pg_write_server_files). It is written under a temporary name in the same directory and
// then renamed. The path must be absolute.
std::unique_ptr<output> make_file_output(const std::string& path);
// A bytea of `size` bytes, as computed by the writer in advance, in `context`.
std::unique_ptr<output> make_bytea_output(std::uint64_t size, MemoryContext context);
// A new large object.
std::unique_ptr<output> make_large_object_output();

}  // namespace hartonomous::pg
