// Sources and sinks for the bytes of a model file, which may be a file of the server, a bytea or a large object.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hartonomous {

// Random access to immutable bytes. Callers never read beyond size().
class byte_source {
 public:
  byte_source() = default;
  byte_source(const byte_source&) = delete;
  byte_source& operator=(const byte_source&) = delete;
  virtual ~byte_source() = default;
  virtual std::uint64_t size() const = 0;
  // Fills `to` with exactly `count` bytes from `offset`, or throws.
  virtual void read(std::uint64_t offset, void* to, std::size_t count) = 0;
};

// Bytes already in memory (unit tests, fuzzing, bytea).
class memory_source final : public byte_source {
 public:
  memory_source(const void* data, std::size_t size) noexcept : data_(static_cast<const char*>(data)), size_(size) {}
  std::uint64_t size() const override { return size_; }
  void read(std::uint64_t offset, void* to, std::size_t count) override;

 private:
  const char* data_;
  std::size_t size_;
};

// Sequential output.
class byte_sink {
 public:
  byte_sink() = default;
  byte_sink(const byte_sink&) = delete;
  byte_sink& operator=(const byte_sink&) = delete;
  virtual ~byte_sink() = default;
  virtual void write(const void* from, std::size_t count) = 0;
};

}  // namespace hartonomous
