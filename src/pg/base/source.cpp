// Sources of model files (files.hpp).
#include "pg/base/files.hpp"
#include "pg/base/large_object.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace hartonomous::pg {
namespace {

class file_source final : public byte_source {
 public:
  explicit file_source(std::string path) : path_(std::move(path)) {
    fd_ = call(
        [&] { return OpenTransientFile(path_.c_str(), O_RDONLY | O_NONBLOCK | PG_BINARY); });  // a FIFO must not block
    if (fd_ < 0) {
      fail("could not open file",
           "The server opens the file. Pass a file of the client as bytea or as a large object.");
    }
    struct stat status;
    if (fstat(fd_, &status) != 0) fail("could not stat file");
    if (!S_ISREG(status.st_mode)) {
      throw error(sqlstate::wrong_object_type, "\"" + path_ + "\" is not a regular file");
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
  }
  ~file_source() override {
    if (fd_ >= 0) CloseTransientFile(fd_);
  }
  std::uint64_t size() const override { return size_; }
  void read(std::uint64_t offset, void* to, std::size_t count) override {
    char* at = static_cast<char*>(to);
    while (count > 0) {
      const ssize_t got = pread(fd_, at, count, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("could not read file");
      if (got == 0) throw error(sqlstate::io_error, "file \"" + path_ + "\" became shorter while it was read");
      at += got;
      offset += static_cast<std::uint64_t>(got);
      count -= static_cast<std::size_t>(got);
    }
  }

 private:
  [[noreturn]] void fail(const char* what, const char* hint = "",
                         source_location thrown = source_location::current()) const {
    const char* state = errno == ENOENT                     ? sqlstate::undefined_file
                        : errno == EACCES || errno == EPERM ? sqlstate::insufficient_privilege
                                                            : sqlstate::io_error;
    throw error(state, std::string(what) + " \"" + path_ + "\": " + std::strerror(errno), {}, hint, thrown);
  }
  std::string path_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

class large_object_source final : public byte_source {
 public:
  explicit large_object_source(Oid id) : id_(id), object_(id, INV_READ), size_(object_.seek(0, SEEK_END)) {}
  std::uint64_t size() const override { return size_; }
  void read(std::uint64_t offset, void* to, std::size_t count) override {
    char* at = static_cast<char*>(to);
    object_.seek(static_cast<std::int64_t>(offset), SEEK_SET);
    while (count > 0) {
      const std::size_t got = object_.read(at, count);
      if (got == 0) throw error(sqlstate::io_error, "large object " + std::to_string(id_) + " ended early");
      at += got;
      count -= got;
    }
  }

 private:
  Oid id_;
  large_object object_;
  std::uint64_t size_;
};

std::unique_ptr<byte_source> open_path(Datum path) {
  return open_file(call([&] { return TextDatumGetCString(path); }));
}

std::vector<std::unique_ptr<byte_source>> open_paths(Datum paths) {
  Datum* path = nullptr;
  bool* is_null = nullptr;
  int count = 0;
  call(
      [&] { deconstruct_array(DatumGetArrayTypeP(paths), TEXTOID, -1, false, TYPALIGN_INT, &path, &is_null, &count); });
  if (count == 0) throw error(sqlstate::invalid_parameter_value, "there is no path to read from");
  std::vector<std::unique_ptr<byte_source>> sources;
  for (int i = 0; i < count; ++i) {
    if (is_null[i]) throw error(sqlstate::null_value_not_allowed, "a path to read from cannot be NULL");
    sources.push_back(open_path(path[i]));
  }
  return sources;
}

}  // namespace

std::unique_ptr<byte_source> open_file(const std::string& path) {
  if (!call([] { return has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES); })) {
    throw error(sqlstate::insufficient_privilege,
                "must be superuser or have privileges of the pg_read_server_files role to read a file", {},
                "Pass the file as bytea or as a large object.");
  }
  return std::make_unique<file_source>(path);
}

std::vector<std::unique_ptr<byte_source>> source_argument(FunctionCallInfo fcinfo, int argument) {
  const Oid type = call([&] { return get_fn_expr_argtype(fcinfo->flinfo, argument); });
  if (type == TEXTARRAYOID) return open_paths(PG_GETARG_DATUM(argument));
  std::vector<std::unique_ptr<byte_source>> sources;
  if (type == TEXTOID) {
    sources.push_back(open_path(PG_GETARG_DATUM(argument)));
  } else if (type == BYTEAOID) {
    const bytea* value = call([&] { return PG_GETARG_BYTEA_PP(argument); });
    sources.push_back(std::make_unique<memory_source>(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)));
  } else if (type == OIDOID) {
    sources.push_back(std::make_unique<large_object_source>(PG_GETARG_OID(argument)));
  } else {
    throw error(sqlstate::invalid_parameter_value, "a model file is a path (text), a bytea or a large object (oid)");
  }
  return sources;
}

}  // namespace hartonomous::pg
