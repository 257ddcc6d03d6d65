// Builds GGUF files in memory, byte by byte and independently of the project's writer, so that tests can get them
// wrong.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "hartonomous/bytes.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/gguf.hpp"

namespace hartonomous::gguf_test {

template <class T>
std::string le(T value) {
  std::string out(sizeof(T), '\0');
  std::memcpy(out.data(), &value, sizeof value);  // the tests run on little-endian machines
  return out;
}
inline std::string u32(std::uint32_t value) { return le(value); }
inline std::string u64(std::uint64_t value) { return le(value); }
inline std::string str(const std::string& text) { return u64(text.size()) + text; }

inline std::string kv(const std::string& key, std::uint32_t type, const std::string& value) {
  return str(key) + u32(type) + value;
}
inline std::string kv_array(const std::string& key, std::uint32_t element, std::uint64_t count,
                            const std::string& values) {
  return kv(key, 9, u32(element) + u64(count) + values);
}
inline std::string tensor_info(const std::string& name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
                               std::uint64_t offset) {
  std::string out = str(name) + u32(static_cast<std::uint32_t>(dims.size()));
  for (std::uint64_t const dim : dims) out += u64(dim);
  return out + u32(type) + u64(offset);
}

struct builder {
  std::uint32_t version = 3;
  std::size_t alignment = 32;
  std::vector<std::string> kvs;
  std::vector<std::string> infos;
  std::string data;

  std::string header() const {
    std::string out = "GGUF" + u32(version) + u64(infos.size()) + u64(kvs.size());
    for (const auto& kv : kvs) out += kv;
    for (const auto& info : infos) out += info;
    return out;
  }
  std::string bytes() const {
    std::string out = header();
    out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    return out + data;
  }
};

inline gguf_file read(const std::string& bytes) {
  memory_source source(bytes.data(), bytes.size());
  no_interrupts interrupts;
  return read_gguf_header(source, interrupts);
}

// The message of the error with this SQLSTATE that reading gives.
inline std::string read_error(const std::string& bytes, const std::string& state = "22P03") {
  try {
    read(bytes);
  } catch (const error& e) {
    EXPECT_EQ(e.state(), state) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "the file was accepted";
  return {};
}

class string_sink final : public byte_sink {
 public:
  void write(const void* from, std::size_t count) override { bytes.append(static_cast<const char*>(from), count); }
  std::string bytes;
};

// The file written again from its header and data.
inline std::string rewrite(const gguf_file& file, const std::string& bytes) {
  std::vector<gguf_tensor_spec> specs;
  for (const auto& tensor : file.tensors) {
    specs.push_back({tensor.name, tensor.dims, tensor.type, is_unknown_type(tensor.type) ? tensor.bytes : 0});
  }
  string_sink sink;
  gguf_writer writer(sink, file, specs);
  writer.write_header();
  for (std::size_t i = 0; i < specs.size(); ++i) {
    writer.begin_tensor(i);
    writer.write(bytes.data() + file.tensors[i].offset, file.tensors[i].bytes);
    writer.end_tensor();
  }
  EXPECT_TRUE(writer.complete());
  EXPECT_EQ(writer.file_size(), sink.bytes.size());
  return sink.bytes;
}

// Every value type, the awkward values of each.
inline builder rich_file(std::uint32_t version = 3) {
  builder b;
  b.version = version;
  b.kvs = {
      kv("general.architecture", 8, str("llama")),
      kv("v.u8", 0, "\xff"),
      kv("v.i8", 1, "\x80"),
      kv("v.u16", 2, le<std::uint16_t>(65535)),
      kv("v.i16", 3, le<std::int16_t>(-32768)),
      kv("v.u32", 4, u32(0xffffffff)),
      kv("v.i32", 5, le<std::int32_t>(INT32_MIN)),
      kv("v.f32", 6, le(0.1F)),
      kv("v.true", 7, "\1"),
      kv("v.false", 7, std::string(1, '\0')),
      kv("v.u64", 10, u64(UINT64_MAX)),
      kv("v.i64", 11, le<std::int64_t>(INT64_MIN)),
      kv("v.f64", 12, le(0.1)),
      kv_array("a.f32", 6, 9,
               u32(0x7fc00001) + u32(0xff812345) + u32(0x7f800000) + u32(0xff800000) + u32(0x80000000) + u32(1) +
                   le(3.4028235e38F) + le(16777216.0F) + le(-1.0F)),
      kv_array("a.f64", 12, 6,
               u64(0x7ff0000000000001) + u64(0xfff0000000000000) + u64(0x8000000000000000) + u64(1) +
                   le(1.7976931348623157e308) + le(9007199254740993.0)),
      kv_array("a.u64", 10, 2, u64(9007199254740993) + u64(0)),
      kv_array("a.i64", 11, 2, le<std::int64_t>(-9007199254740993) + u64(7)),
      kv_array("a.bool", 7, 3, std::string("\1\0\1", 3)),
      kv_array("a.string", 8, 6,
               str("") + str("\xe2\x96\x81the") + str("\xff\xfe") + str(std::string("a\0b", 3)) +
                   str("\"\\\b\f\n\r\t\x01\x7f") + str("0x7fc00001")),
      kv_array("a.empty", 8, 0, ""),
      kv_array("a.empty_u8", 0, 0, ""),
      kv("not utf8 \xc0\xaf", 8, str("\xed\xa0\x80")),
  };
  // 2 x 3 floats are 24 bytes, so padding is needed; the last tensor (a Q8_0 block: 34 bytes) too.
  b.infos = {tensor_info("blk.0.attn_q.weight", {2, 3}, 0, 0), tensor_info("blk.0.ffn_up.weight", {32}, 8, 32)};
  b.data = std::string(24, 'a') + std::string(8, '\0') + std::string(34, 'b') + std::string(30, '\0');
  return b;
}

}  // namespace hartonomous::gguf_test
