// GGUF files that are wrong on purpose: each gives a clear error, none a crash or a large allocation.
#include "gguf_builder.hpp"

#include <algorithm>
#include <cstdint>

namespace hartonomous {
namespace {

using namespace gguf_test;

std::string with_kv(const std::string& entry) {
  builder b;
  b.kvs = {entry};
  return b.bytes() + std::string(64, '\0');
}

std::string with_tensor(const std::string& info, std::size_t data = 64) {
  builder b;
  b.infos = {info};
  b.data = std::string(data, '\0');
  return b.bytes();
}

// A source that says it is huge but has only a header: what is believed of it would be allocated.
class huge_source final : public byte_source {
 public:
  explicit huge_source(std::string head) : head_(std::move(head)) {}
  std::uint64_t size() const override { return std::uint64_t{1} << 50; }
  void read(std::uint64_t offset, void* to, std::size_t count) override {
    std::memset(to, 0, count);
    if (offset < head_.size()) std::memcpy(to, head_.data() + offset, std::min(count, head_.size() - offset));
  }

 private:
  std::string head_;
};

std::string huge_error(const std::string& head) {
  huge_source source(head);
  no_interrupts interrupts;
  try {
    read_gguf_header(source, interrupts);
  } catch (const error& e) {
    EXPECT_STREQ(e.state(), "54000") << e.what();
    return e.what();
  }
  ADD_FAILURE() << "accepted";
  return {};
}

TEST(gguf_hostile, fixed_fields) {
  EXPECT_EQ(read_error(""), "GGUF: file is truncated in the magic");
  std::string bytes = rich_file().bytes();
  bytes[0] = 'g';
  EXPECT_EQ(read_error(bytes), "GGUF: bad magic");
  builder b;
  b.version = 0;
  EXPECT_EQ(read_error(b.bytes()), "GGUF: version 0 is not supported");
  b.version = 1;
  EXPECT_EQ(read_error(b.bytes()), "GGUF: version 1 is not supported");
  b.version = 4;
  EXPECT_EQ(read_error(b.bytes()), "GGUF: version 4 is not supported");
  b.version = 0x03000000;
  EXPECT_EQ(read_error(b.bytes()), "GGUF: wrong endianness");
}

TEST(gguf_hostile, counts) {
  for (std::uint64_t const count : {std::uint64_t{1}, std::uint64_t{1} << 60, UINT64_MAX}) {
    EXPECT_EQ(read_error("GGUF" + u32(3) + u64(0) + u64(count)), "GGUF: metadata count does not fit the file");
    EXPECT_EQ(read_error("GGUF" + u32(3) + u64(count) + u64(0)), "GGUF: tensor count does not fit the file");
  }
  EXPECT_EQ(huge_error("GGUF" + u32(3) + u64(0) + u64(1 << 21)), "GGUF: metadata count is beyond the limit");
  EXPECT_EQ(huge_error("GGUF" + u32(3) + u64(1 << 21) + u64(0)), "GGUF: tensor count is beyond the limit");
  std::string const head = "GGUF" + u32(3) + u64(0) + u64(1);
  EXPECT_EQ(huge_error(head + kv("k", 8, u64(std::uint64_t{1} << 40))), "GGUF: metadata is beyond the limit");
  EXPECT_EQ(huge_error(head + kv_array("k", 10, std::uint64_t{1} << 40, "")), "GGUF: metadata is beyond the limit");
  EXPECT_EQ(huge_error(head + kv_array("k", 8, std::uint64_t{1} << 40, "")), "GGUF: metadata is beyond the limit");
}

TEST(gguf_hostile, keys) {
  EXPECT_EQ(read_error(with_kv(kv("", 0, "x"))), "GGUF: a metadata key is empty");
  EXPECT_EQ(read_error(with_kv(kv(std::string(65536, 'k'), 0, "x"))), "GGUF: a metadata key is too long");
  EXPECT_EQ(read(with_kv(kv(std::string(65535, 'k'), 0, "x"))).kv.size(), 1U);
  EXPECT_EQ(read_error("GGUF" + u32(3) + u64(0) + u64(1) + u64(std::uint64_t{1} << 60) + std::string(64, 'k')),
            "GGUF: file is truncated in metadata key number 1");
  builder b;
  b.kvs = {kv("k", 0, "x"), kv("j", 0, "x"), kv("k", 4, u32(1))};
  EXPECT_EQ(read_error(b.bytes()), "GGUF: duplicate metadata key \"k\"");
  EXPECT_EQ(read_error(with_kv(kv("k", 13, "x"))), "GGUF: metadata key \"k\" has an unknown type");
  EXPECT_EQ(read_error(with_kv(kv("\xff\n", 99, "x"))), "GGUF: metadata key \"\\xff\\x0a\" has an unknown type");
}

TEST(gguf_hostile, values) {
  EXPECT_EQ(read_error(with_kv(kv("k", 7, "\2"))), "GGUF: metadata key \"k\" holds an invalid bool");
  EXPECT_EQ(read_error(with_kv(kv_array("k", 7, 2, std::string("\0\xff", 2)))),
            "GGUF: metadata key \"k\" holds an invalid bool");
  EXPECT_EQ(read_error(with_kv(kv_array("k", 9, 1, u32(0) + u64(1) + "x"))),
            "GGUF: metadata key \"k\" is a nested array");
  EXPECT_EQ(read_error(with_kv(kv_array("k", 20, 1, "x"))), "GGUF: metadata key \"k\" has an unknown type");
  for (std::uint32_t const element : {0U, 4U, 6U, 7U, 8U, 10U, 12U}) {
    for (std::uint64_t const count :
         {std::uint64_t{1000}, std::uint64_t{1} << 60, std::uint64_t{1} << 61, UINT64_MAX}) {
      EXPECT_EQ(read_error(with_kv(kv_array("k", element, count, ""))),
                "GGUF: metadata key \"k\" does not fit the file");
    }
  }
  for (std::uint64_t const length : {std::uint64_t{1000}, std::uint64_t{1} << 60, UINT64_MAX}) {
    EXPECT_EQ(read_error(with_kv(kv("k", 8, u64(length)))), "GGUF: file is truncated in metadata key \"k\"");
    EXPECT_EQ(read_error(with_kv(kv_array("k", 8, 1, u64(length)))), "GGUF: file is truncated in metadata key \"k\"");
  }
}

TEST(gguf_hostile, alignment) {
  for (std::uint32_t const alignment : {0U, 3U, 24U, 33U}) {
    EXPECT_EQ(read_error(with_kv(kv("general.alignment", 4, u32(alignment)))),
              "GGUF: general.alignment is not a power of two");
  }
  EXPECT_EQ(read_error(with_kv(kv("general.alignment", 10, u64(32)))), "GGUF: general.alignment has the wrong type");
  EXPECT_EQ(read_error(with_kv(kv_array("general.alignment", 4, 1, u32(32)))),
            "GGUF: general.alignment has the wrong type");
  builder b;
  b.kvs = {kv("general.alignment", 4, u32(0x80000000))};
  b.infos = {tensor_info("t", {1}, 0, 0)};
  EXPECT_EQ(read_error(b.bytes() + std::string(64, '\0')), "GGUF: tensor \"t\" lies outside the file");
}

TEST(gguf_hostile, tensor_names) {
  builder b;
  b.infos = {tensor_info("t", {1}, 0, 0), tensor_info("t", {1}, 0, 32)};
  b.data = std::string(64, '\0');
  EXPECT_EQ(read_error(b.bytes()), "GGUF: duplicate tensor name \"t\"");
  EXPECT_EQ(read_error(with_tensor(tensor_info(std::string(256, 't'), {1}, 0, 0))), "GGUF: a tensor name is too long");
  EXPECT_EQ(read(with_tensor(tensor_info(std::string(255, 't'), {1}, 0, 0))).tensors.size(), 1U);
  EXPECT_EQ(read_error(with_tensor(tensor_info("t\xff", {1}, 0, 0))),
            "GGUF: tensor \"t\\xff\" has a name that is not valid UTF-8 text");
  EXPECT_EQ(read_error(with_tensor(tensor_info(std::string("t\0u", 3), {1}, 0, 0))),
            "GGUF: tensor \"t\\x00u\" has a name that is not valid UTF-8 text");
  builder c;
  c.infos = {u64(UINT64_MAX) + std::string(64, 't')};
  EXPECT_EQ(read_error(c.bytes()), "GGUF: file is truncated in tensor number 1");
}

// A type that came later is as large as its place, if it has one.
TEST(gguf_hostile, unknown_types) {
  builder b;
  b.infos = {tensor_info("a", {32, 3}, 43, 0), tensor_info("b", {2}, 0, 64), tensor_info("c", {7}, 255, 96),
             tensor_info("d", {0}, 44, 96)};
  b.data = std::string(64, '\x5a') + std::string(8, '\1') + std::string(24, '\0') + std::string(64, '\7');
  const std::string bytes = b.bytes();
  const gguf_file file = read(bytes);
  ASSERT_EQ(file.tensors.size(), 4U);
  EXPECT_EQ(file.tensors[0].bytes, 64U);
  EXPECT_EQ(file.tensors[0].weights, 96U);
  EXPECT_EQ(file.tensors[2].bytes, 64U);
  EXPECT_EQ(file.tensors[3].bytes, 0U);
  EXPECT_EQ(name_of_unknown_type(file.tensors[0].type), "GGML_43");
  EXPECT_EQ(unknown_type_named("GGML_43"), file.tensors[0].type);
  for (const char* name : {"", "GGML_", "GGML_0", "GGML_256", "GGML_-1", "GGML_43x", "GGML_99999999999", "F32"}) {
    EXPECT_EQ(unknown_type_named(name), std::nullopt) << name;
  }
  b.infos.pop_back();
  EXPECT_EQ(rewrite(read(b.bytes()), b.bytes()), b.bytes());
  b.data.clear();
  EXPECT_EQ(read_error(b.bytes()), "GGUF: tensor \"a\" is in format 43, which is unknown");
  b.infos = {tensor_info("a", {32}, 43, 0), tensor_info("b", {2}, 0, 0)};
  b.data = std::string(64, '\1');
  EXPECT_EQ(read_error(b.bytes()), "GGUF: tensors \"b\" and \"a\" overlap");
}

TEST(gguf_hostile, tensor_shapes) {
  auto shape = [](const std::vector<std::uint64_t>& dims, std::uint32_t type = 0) {
    return read_error(with_tensor(tensor_info("t", dims, type, 0)));
  };
  EXPECT_EQ(shape({1, 1, 1, 1, 1}), "GGUF: tensor \"t\" has an invalid number of dimensions");
  EXPECT_EQ(shape({std::uint64_t{1} << 32, 0, std::uint64_t{1} << 32}), "GGUF: tensor \"t\" is too large");
  EXPECT_EQ(shape({33, 0}, 8), "GGUF: tensor \"t\" has rows that are not whole blocks");
  EXPECT_EQ(shape({}, 8), "GGUF: tensor \"t\" has rows that are not whole blocks");
  EXPECT_EQ(shape({UINT64_MAX}), "GGUF: tensor \"t\" is too large");
  EXPECT_EQ(shape({std::uint64_t{1} << 32, std::uint64_t{1} << 31}), "GGUF: tensor \"t\" is too large");
  EXPECT_EQ(shape({std::uint64_t{1} << 32, std::uint64_t{1} << 32}), "GGUF: tensor \"t\" is too large");
  EXPECT_EQ(shape({std::uint64_t{1} << 62}), "GGUF: tensor \"t\" is too large");  // in bytes only
  for (std::uint32_t const type : {256U, 1000U, 0xffffffffU}) {
    EXPECT_EQ(shape({32}, type), "GGUF: tensor \"t\" is in format " + std::to_string(type) + ", which is unknown");
  }
  EXPECT_EQ(shape({33}, 8), "GGUF: tensor \"t\" has rows that are not whole blocks");
  EXPECT_EQ(shape({128, 2}, 12), "GGUF: tensor \"t\" has rows that are not whole blocks");
  builder b;
  b.infos = {str("t") + u32(0xffffffff) + std::string(64, '\1')};
  EXPECT_EQ(read_error(b.bytes()), "GGUF: tensor \"t\" has an invalid number of dimensions");
}

TEST(gguf_hostile, tensor_places) {
  EXPECT_EQ(read_error(with_tensor(tensor_info("t", {1}, 0, 4))), "GGUF: tensor \"t\" is not aligned");
  EXPECT_EQ(read_error(with_tensor(tensor_info("t", {1}, 0, 64))), "GGUF: tensor \"t\" lies outside the file");
  EXPECT_EQ(read_error(with_tensor(tensor_info("t", {17}, 0, 0))), "GGUF: tensor \"t\" lies outside the file");
  EXPECT_EQ(read_error(with_tensor(tensor_info("t", {1}, 0, UINT64_MAX - 31))),
            "GGUF: tensor \"t\" lies outside the file");
  EXPECT_EQ(read_error(with_tensor(tensor_info("t", {1}, 0, 0), 3)), "GGUF: tensor \"t\" lies outside the file");
  builder b;
  b.infos = {tensor_info("t", {9}, 0, 32), tensor_info("u", {9}, 0, 0)};
  b.data = std::string(128, '\0');
  EXPECT_EQ(read_error(b.bytes()), "GGUF: tensors \"u\" and \"t\" overlap");
  b.infos = {tensor_info("t", {1}, 0, 0), tensor_info("u", {1}, 0, 0)};
  EXPECT_NE(read_error(b.bytes()).find("overlap"), std::string::npos);
}

TEST(gguf_hostile, truncation_at_every_byte) {
  for (std::uint32_t const version : {2U, 3U}) {
    builder b = rich_file(version);
    b.infos[1] = tensor_info("blk.0.ffn_up.weight", {8}, 0, 32);  // ends where the file ends
    b.data.resize(64);
    std::string const bytes = b.bytes();
    EXPECT_TRUE(read(bytes).canonical);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      // An exact copy, so that the address sanitizer sees a read one byte too far.
      const std::vector<char> copy(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
      memory_source source(copy.data(), copy.size());
      no_interrupts interrupts;
      try {
        read_gguf_header(source, interrupts);
        ADD_FAILURE() << "accepted " << size << " bytes of " << bytes.size();
      } catch (const error& e) {
        EXPECT_STREQ(e.state(), "22P03");
      }
    }
  }
}

TEST(gguf_hostile, every_byte_changed) {
  std::string const bytes = rich_file().bytes();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(changed[i] ^ flip);
      try {
        const gguf_file file = read(changed);
        gguf_metadata again;
        metadata_from_json(metadata_to_json(file), again);
        EXPECT_EQ(again.kv, file.kv) << "byte " << i;
      } catch (const error& e) {
        EXPECT_STREQ(e.state(), "22P03") << e.what() << " at byte " << i;
      }
    }
  }
}

TEST(gguf_hostile, reading_can_be_cancelled) {
  struct stopped {};
  class cancelling final : public interrupt_checker {
   public:
    void check() override { throw stopped(); }
  } interrupts;
  std::string const bytes = rich_file().bytes();
  memory_source source(bytes.data(), bytes.size());
  EXPECT_THROW(read_gguf_header(source, interrupts), stopped);
  gguf_metadata metadata = read(bytes);
  std::string const json = metadata_to_json(metadata);
  EXPECT_THROW(metadata_to_json(metadata, interrupts), stopped);
  EXPECT_THROW(metadata_from_json(json, metadata, interrupts), stopped);
}

}  // namespace
}  // namespace hartonomous
