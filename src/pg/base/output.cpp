// Outputs for model files (files.hpp).
#include "pg/base/files.hpp"
#include "pg/base/large_object.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

extern "C" {
#include "storage/ipc.h"
}

namespace hartonomous::pg {
namespace {

// A temporary name in the same directory: the name of the file with a suffix, shortened if it is too long. It is never
// cut within a character, because some file systems accept only names in UTF-8.
std::string temporary_name(const std::string& path) {
  const std::string ending = ".tmp." + std::to_string(MyProcPid);
  const std::size_t name = path.rfind('/') + 1;
  std::size_t end = std::min(path.size(), name + NAME_MAX - ending.size());
  while (end < path.size() && end > name && (static_cast<unsigned char>(path[end]) & 0xC0) == 0x80) --end;
  return path.substr(0, end) + ending;
}

// Readable by other users, like files of COPY TO, because another program is going to use the model.
int open_for_all(const char* path, int flags) {
  struct umask_scope {
    const mode_t previous = umask(S_IWGRP | S_IWOTH);
    ~umask_scope() { umask(previous); }
  };
  const umask_scope scope;
  return call([&] { return OpenTransientFilePerm(path, O_WRONLY | flags | PG_BINARY, 0666); });
}

// By this name a file without a name can be given one.
std::string name_of_descriptor(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

// A file that gets its name when it is finished. Until then it has none where the system allows that, so that even a
// process that is killed leaves nothing behind; elsewhere it has a temporary one.
class file_output final : public output {
 public:
  explicit file_output(const std::string& path) : path_(path), temporary_(temporary_name(path)) {
    require_replaceable();
    remove_at_exit();
    open_without_name();
    if (fd_ < 0) {
      fd_ = open_for_all(temporary_.c_str(), O_CREAT | O_EXCL);
      named_ = fd_ >= 0;
    }
    if (fd_ < 0) fail("could not create file");
    next_ = unfinished;
    unfinished = this;
  }
  ~file_output() override {
    if (fd_ >= 0) CloseTransientFile(fd_);
    if (named_) unlink(temporary_.c_str());
    for (file_output** at = &unfinished; *at != nullptr; at = &(*at)->next_) {
      if (*at == this) {
        *at = next_;
        break;
      }
    }
  }
  void write(const void* from, std::size_t count) override {
    const char* at = static_cast<const char*>(from);
    written_ += count;
    while (count > 0) {
      const ssize_t put = ::write(fd_, at, count);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) fail("could not write file");
      at += put;
      count -= static_cast<std::size_t>(put);
    }
  }
  Datum finish() override {
    if (fsync(fd_) != 0) fail("could not fsync file");
    // A link cannot replace a file, so there is a temporary name for the moment.
    if (!named_) {
      if (linkat(AT_FDCWD, name_of_descriptor(fd_).c_str(), AT_FDCWD, temporary_.c_str(), AT_SYMLINK_FOLLOW) != 0) {
        fail("could not create file");
      }
      named_ = true;
    }
    const int fd = fd_;
    fd_ = -1;
    if (CloseTransientFile(fd) != 0) fail("could not close file");
    call([&] { durable_rename(temporary_.c_str(), path_.c_str(), ERROR); });
    named_ = false;
    return Int64GetDatum(static_cast<int64>(written_));
  }

 private:
  // Leaves fd_ as it is if the file system or the system cannot do that.
  void open_without_name() {
#ifdef O_TMPFILE
    const std::string directory = path_.substr(0, path_.rfind('/') + 1);
    const int fd = open_for_all(directory.c_str(), O_TMPFILE);
    if (fd < 0) return;
    if (access(name_of_descriptor(fd).c_str(), F_OK) == 0) {
      fd_ = fd;
    } else {
      CloseTransientFile(fd);
    }
#endif
  }
  // An existing file is replaced; anything else at the path is an error.
  void require_replaceable() const {
    struct stat status;
    if (stat(path_.c_str(), &status) != 0) {
      if (errno == ENAMETOOLONG) throw error(sqlstate::invalid_name, "file name \"" + path_ + "\" is too long");
      return;
    }
    if (S_ISDIR(status.st_mode)) {
      throw error(sqlstate::wrong_object_type, "\"" + path_ + "\" is a directory", {},
                  "Give the path of a file in it.");
    }
    if (!S_ISREG(status.st_mode)) throw error(sqlstate::wrong_object_type, "\"" + path_ + "\" is not a regular file");
  }
  [[noreturn]] void fail(const char* what, source_location thrown = source_location::current()) const {
    const char* state = errno == ENOENT   ? sqlstate::undefined_file
                        : errno == EEXIST ? sqlstate::duplicate_file
                        : errno == ENOSPC ? sqlstate::disk_full
                        : errno == EACCES ? sqlstate::insufficient_privilege
                                          : sqlstate::io_error;
    throw error(state, std::string(what) + " \"" + temporary_ + "\": " + std::strerror(errno), {}, {}, thrown);
  }
  // If the session is terminated, the process exits without unwinding, and this callback removes the file.
  static void remove_at_exit() {
    static bool registered = false;
    if (registered) return;
    on_proc_exit(
        [](int, Datum) {
          for (const file_output* o = unfinished; o != nullptr; o = o->next_) {
            if (o->named_) unlink(o->temporary_.c_str());
          }
        },
        0);
    registered = true;
  }
  static file_output* unfinished;

  std::string path_, temporary_;
  file_output* next_ = nullptr;
  int fd_ = -1;
  bool named_ = false;  // by its temporary name
  std::uint64_t written_ = 0;
};

file_output* file_output::unfinished = nullptr;

class bytea_output final : public output {
 public:
  bytea_output(std::uint64_t size, MemoryContext context) : size_(size) {
    if (size > MaxAllocSize - VARHDRSZ) {
      throw error(sqlstate::program_limit_exceeded, "model too large for a bytea",
                  "The file has " + std::to_string(size) + " bytes; a bytea holds less than 1 GB.",
                  "Export to a server file or a large object.");
    }
    require_work_memory(size, "exporting to a bytea");
    context_scope scope(context);
    value_ = static_cast<bytea*>(allocate(VARHDRSZ + size));
    SET_VARSIZE(value_, VARHDRSZ + size);
  }
  void write(const void* from, std::size_t count) override {
    if (count > size_ - written_) {
      throw error(sqlstate::invalid_parameter_value, "more bytes than the file was to have");
    }
    std::memcpy(VARDATA(value_) + written_, from, count);
    written_ += count;
  }
  Datum finish() override {
    if (written_ != size_) throw error(sqlstate::invalid_parameter_value, "fewer bytes than the file was to have");
    return PointerGetDatum(value_);
  }

 private:
  std::uint64_t size_, written_ = 0;
  bytea* value_ = nullptr;
};

class large_object_output final : public output {
 public:
  large_object_output() : id_(large_object::create()), object_(id_, INV_WRITE) {}
  void write(const void* from, std::size_t count) override {
    const char* at = static_cast<const char*>(from);
    while (count > 0) {
      const std::size_t put = object_.write(at, count);
      at += put;
      count -= put;
    }
  }
  Datum finish() override { return ObjectIdGetDatum(id_); }

 private:
  Oid id_;
  large_object object_;
};

}  // namespace

std::unique_ptr<output> make_file_output(const std::string& path) {
  if (!call([] { return has_privs_of_role(GetUserId(), ROLE_PG_WRITE_SERVER_FILES); })) {
    throw error(sqlstate::insufficient_privilege,
                "must be superuser or have privileges of the pg_write_server_files role to write a file", {},
                "Exports to bytea or to a large object need no such right.");
  }
  if (!is_absolute_path(path.c_str())) {
    throw error(sqlstate::invalid_name, "relative path not allowed for export to a file", {},
                "Give the path from the root, as in /tmp/model.gguf.");
  }
  return std::make_unique<file_output>(path);
}

std::unique_ptr<output> make_bytea_output(std::uint64_t size, MemoryContext context) {
  return std::make_unique<bytea_output>(size, context);
}

std::unique_ptr<output> make_large_object_output() { return std::make_unique<large_object_output>(); }

}  // namespace hartonomous::pg
