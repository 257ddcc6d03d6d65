// safetensors: headers read, checked, written and compared; files that are wrong on purpose.
#include "hartonomous/safetensors.hpp"

#include <cstdint>
#include <cstring>

#include "gtest/gtest.h"
#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

using shape_t = std::vector<std::uint64_t>;

std::string file_of(const std::string& json, std::size_t data) {
  std::uint64_t const length = json.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + json + std::string(data, 'd');
}

safetensors_file read(const std::string& bytes) {
  memory_source source(bytes.data(), bytes.size());
  return read_safetensors_header(source);
}

std::string read_error(const std::string& bytes) {
  try {
    read(bytes);
  } catch (const error& e) {
    EXPECT_STREQ(e.state(), "22P03") << e.what();
    return e.what();
  }
  ADD_FAILURE() << "the file was accepted";
  return {};
}

std::string json_error(const std::string& json, std::size_t data = 0) { return read_error(file_of(json, data)); }

std::string tensor_error(const std::string& tensor, std::size_t data = 4) {
  return json_error("{\"t\":" + tensor + "}", data);
}

safetensors_tensor tensor(const std::string& name, const std::string& dtype, const shape_t& shape) {
  safetensors_tensor out;
  out.name = name;
  out.dtype = dtype;
  out.shape = shape;
  return out;
}

const char small_json[] =
    R"({"__metadata__":{"format":"pt","a":"b"},"w":{"dtype":"F32","shape":[2,2],"data_offsets":[4,20]},)"
    R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"e":{"dtype":"I64","shape":[0,7],"data_offsets":[4,4]},)"
    R"("s":{"dtype":"BOOL","shape":[],"data_offsets":[20,21]}}   )";

TEST(safetensors, reads_header) {
  std::string const bytes = file_of(small_json, 21);
  const safetensors_file file = read(bytes);
  EXPECT_EQ(file.header_json, small_json);
  EXPECT_EQ(file.metadata, (safetensors_metadata{{"format", "pt"}, {"a", "b"}}));
  ASSERT_EQ(file.tensors.size(), 4U);
  std::string order;
  for (const auto& t : file.tensors) order += t.name;
  EXPECT_EQ(order, "bews");  // by offset, the empty one before the one it shares its offset with
  std::uint64_t const start = 8 + file.header_json.size();
  EXPECT_EQ(file.tensors[2].offset, start + 4);
  EXPECT_EQ(file.tensors[2].bytes, 16U);
  EXPECT_EQ(file.tensors[2].shape, (shape_t{2, 2}));
  EXPECT_EQ(file.tensors[2].dtype, "F32");
  EXPECT_EQ(file.tensors[3].bytes, 1U);
  EXPECT_TRUE(file.tensors[3].shape.empty());
}

TEST(safetensors, files_without_tensors) {
  EXPECT_TRUE(read(file_of("{}", 0)).tensors.empty());
  EXPECT_TRUE(read(file_of("{\"__metadata__\":{}}", 0)).metadata.empty());
  EXPECT_TRUE(read(file_of("{\"__metadata__\":null}", 0)).metadata.empty());
}

TEST(safetensors, unknown_members_are_skipped) {
  const safetensors_file file = read(file_of(
      R"({"t":{"x":[1,{"y":[null,-1,1.5,true,"z"]},[]],"dtype":"U8","o":{},"shape":[3],"n":1,"data_offsets":[0,3],"l":null}})",
      3));
  EXPECT_EQ(file.tensors.at(0).bytes, 3U);
}

TEST(safetensors, writes_header) {
  const std::vector<safetensors_tensor> tensors = {tensor("b", "BF16", {2}), tensor("e", "I64", {0, 7}),
                                                   tensor("w \"\xc3\xa9\"\n", "F32", {2, 2}), tensor("s", "BOOL", {})};
  const safetensors_metadata metadata = {{"format", "pt"}, {"nul", std::string("\0", 1)}};
  std::string const bytes = make_safetensors_header(tensors, metadata);
  EXPECT_EQ(bytes.size() % 8, 0U);
  EXPECT_EQ(bytes.substr(8, 62), R"({"__metadata__":{"format":"pt","nul":"\u0000"},"b":{"dtype":"B)");
  const safetensors_file file = read(bytes + std::string(21, 'd'));
  EXPECT_EQ(file.metadata, metadata);
  ASSERT_EQ(file.tensors.size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(file.tensors[i].name, tensors[i].name);
    EXPECT_EQ(file.tensors[i].dtype, tensors[i].dtype);
    EXPECT_EQ(file.tensors[i].shape, tensors[i].shape);
  }
  EXPECT_TRUE(header_matches(file.header_json, tensors));
  EXPECT_EQ(make_safetensors_header(file.tensors, file.metadata), bytes);
  // As the reference writes it.
  EXPECT_EQ(make_safetensors_header({tensor("t", "F32", {2, 3})}, {}).substr(8),
            R"({"t":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}       )");
  EXPECT_EQ(make_safetensors_header({}, {}).substr(8), "{}      ");
}

TEST(safetensors, writer_refuses) {
  auto refused = [](const std::vector<safetensors_tensor>& tensors, const safetensors_metadata& metadata = {}) {
    EXPECT_THROW(make_safetensors_header(tensors, metadata), error);
  };
  refused({tensor("t", "F32", {1}), tensor("t", "F32", {1})});
  refused({tensor("t", "Q4_0", {1})});
  refused({tensor("t\xff", "F32", {1})});
  refused({tensor("__metadata__", "F32", {1})});
  refused({tensor("t", "F32", {UINT64_MAX, 2})});
  refused({tensor("t", "F4", {3})});
  refused({}, {{"a", "1"}, {"a", "2"}});
  refused({}, {{"a", "\xff"}});
}

TEST(safetensors, header_matches_exactly) {
  const std::vector<safetensors_tensor> tensors = read(file_of(small_json, 21)).tensors;
  EXPECT_TRUE(header_matches(small_json, tensors));
  auto changed = [&](auto change) {
    std::vector<safetensors_tensor> copy = tensors;
    change(copy);
    return header_matches(small_json, copy);
  };
  EXPECT_FALSE(changed([](auto& t) { t[0].name = "c"; }));
  EXPECT_FALSE(changed([](auto& t) { t[0].dtype = "F16"; }));
  EXPECT_FALSE(changed([](auto& t) { t[2].shape = {4}; }));
  EXPECT_FALSE(changed([](auto& t) { t.pop_back(); }));
  EXPECT_FALSE(changed([](auto& t) { t.push_back(tensor("x", "U8", {0})); }));
  EXPECT_FALSE(changed([](auto& t) { std::swap(t[0], t[2]); }));
  EXPECT_FALSE(header_matches("", tensors));
  EXPECT_FALSE(header_matches("{", tensors));
}

TEST(safetensors, metadata_of_a_header) {
  const safetensors_metadata metadata = {{"format", "pt"}, {"nul", std::string("\0", 1)}};
  EXPECT_EQ(metadata_of_header(make_safetensors_header({tensor("t", "F32", {2, 3})}, metadata).substr(8)), metadata);
  EXPECT_EQ(metadata_of_header(make_safetensors_header({tensor("t", "F32", {2, 3})}, {}).substr(8)),
            safetensors_metadata());
  EXPECT_EQ(metadata_of_header(""), safetensors_metadata());
  EXPECT_EQ(metadata_of_header(R"({"__metadata__":{"format":"pt"},"t":{}})"), safetensors_metadata());
  EXPECT_EQ(metadata_of_header(R"({"__metadata__":{"format":1}})"), safetensors_metadata());
}

TEST(safetensors, dtypes) {
  struct {
    const char* name;
    std::uint64_t bytes_of_8;
    format storage;
  } const expected[] = {
      {"BOOL", 8, format::I8},    {"U8", 8, format::I8},      {"I8", 8, format::I8},    {"F8_E4M3", 8, format::I8},
      {"F8_E5M2", 8, format::I8}, {"F8_E8M0", 8, format::I8}, {"F4", 4, format::I8},    {"F6_E2M3", 6, format::I8},
      {"F6_E3M2", 6, format::I8}, {"U16", 16, format::I16},   {"I16", 16, format::I16}, {"F16", 16, format::F16},
      {"BF16", 16, format::BF16}, {"U32", 32, format::I32},   {"I32", 32, format::I32}, {"F32", 32, format::F32},
      {"F64", 64, format::F64},   {"U64", 64, format::I64},   {"I64", 64, format::I64}, {"C64", 64, format::I64},
  };
  for (const auto& e : expected) {
    EXPECT_EQ(safetensors_bytes(e.name, {2, 4}), e.bytes_of_8) << e.name;
    EXPECT_EQ(safetensors_storage_format(e.name), e.storage) << e.name;
    std::string const header = make_safetensors_header({tensor("t", e.name, {2, 4})}, {});
    EXPECT_EQ(read(header + std::string(e.bytes_of_8, 'd')).tensors.at(0).bytes, e.bytes_of_8) << e.name;
  }
  EXPECT_EQ(find_safetensors_dtype("f32"), nullptr);
  EXPECT_THROW(safetensors_storage_format("F128"), error);
}

TEST(safetensors, row_length) {
  EXPECT_EQ(safetensors_row_length({}), 1U);
  EXPECT_EQ(safetensors_row_length({7}), 7U);
  EXPECT_EQ(safetensors_row_length({10, 32}), 32U);
  EXPECT_EQ(safetensors_row_length({8, 1, 3, 3}), 9U);
  EXPECT_EQ(safetensors_row_length({16, 8, 3, 3}), 72U);
  EXPECT_EQ(safetensors_row_length({64, 3, 7, 7}), 49U);
  EXPECT_EQ(safetensors_row_length({4, 128, 64}), 64U);
  EXPECT_EQ(safetensors_row_length({5, 2}), 2U);
  EXPECT_EQ(safetensors_row_length({5, 0}), 0U);
  EXPECT_THROW(safetensors_row_length({1, UINT64_MAX, 2}), error);
}

TEST(safetensors, refuses_bad_framing) {
  EXPECT_EQ(read_error(""), "safetensors: file is truncated");
  EXPECT_EQ(read_error(std::string(7, '\0')), "safetensors: file is truncated");
  EXPECT_EQ(read_error(std::string(8, '\0')), "safetensors: header does not start with '{'");
  EXPECT_EQ(read_error(std::string(8, '\xff') + "{}"), "safetensors: header is too large");
  EXPECT_EQ(read_error(std::string("\x01\xe1\xf5\x05\0\0\0\0{}", 10)), "safetensors: header is too large");
  EXPECT_EQ(read_error(std::string("\x03\0\0\0\0\0\0\0{}", 10)), "safetensors: header lies outside the file");
  EXPECT_EQ(json_error(" {}"), "safetensors: header does not start with '{'");
  EXPECT_EQ(json_error("{}", 1), "safetensors: file has data that belongs to no tensor");
  EXPECT_EQ(json_error(small_json, 22), "safetensors: file has data that belongs to no tensor");
  EXPECT_EQ(json_error(small_json, 20), "safetensors: tensors lie outside the file");
}

TEST(safetensors, refuses_bad_json) {
  for (const char* json : {"{", "{]", "{}x", "{}{}", "{\"t\"}", "{\"t\":}", "{\"\xff\":{}}", "{/**/}", "{\"t\":1e999}",
                           "{\"\\ud800\":{}}", "{,}"}) {
    EXPECT_EQ(json_error(json), "safetensors: header is not valid JSON") << json;
  }
  EXPECT_EQ(json_error(std::string("{}\0x", 4)), "safetensors: header is not valid JSON");
  EXPECT_NE(json_error("{\"t\":" + std::string(100000, '[')).find("an array where none is allowed"), std::string::npos);
  EXPECT_NE(tensor_error("{\"x\":" + std::string(100000, '[')).find("nested too deeply"), std::string::npos);
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "{\"x\":";
  EXPECT_NE(tensor_error(deep).find("nested too deeply"), std::string::npos);
  for (const char* value : {"1", "null", "\"x\"", "[]", "true", "-1", "1.5"}) {
    EXPECT_NE(tensor_error(value).find("where none is allowed"), std::string::npos) << value;
  }
  EXPECT_NE(json_error(R"({"__metadata__":{"a":1}})").find("header holds a number"), std::string::npos);
  EXPECT_NE(json_error(R"({"__metadata__":{"a":null}})").find("header holds null"), std::string::npos);
  EXPECT_NE(json_error(R"({"__metadata__":{"a":{}}})").find("header holds an object"), std::string::npos);
  EXPECT_NE(json_error(R"({"__metadata__":[]})").find("header holds an array"), std::string::npos);
  EXPECT_EQ(json_error(R"({"__metadata__":{},"__metadata__":{}})"), "safetensors: \"__metadata__\" occurs twice");
  EXPECT_EQ(json_error(R"({"__metadata__":{"a":"1","a":"2"}})"), "safetensors: duplicate metadata key \"a\"");
  EXPECT_EQ(json_error(R"({"a\u0000":{}})"), "safetensors: tensor name \"a\\x00\" contains a NUL character");
}

TEST(safetensors, refuses_bad_tensors) {
  EXPECT_EQ(tensor_error("{}"), "safetensors: tensor \"t\" lacks its dtype, shape or data_offsets");
  EXPECT_EQ(tensor_error(R"({"dtype":"F32","shape":[1]})"),
            "safetensors: tensor \"t\" lacks its dtype, shape or data_offsets");
  EXPECT_EQ(tensor_error(R"({"dtype":"F128","shape":[1],"data_offsets":[0,4]})"),
            "safetensors: tensor \"t\" has the unknown dtype \"F128\"");
  EXPECT_EQ(tensor_error(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})"),
            "safetensors: tensor \"t\" has a size that does not match its shape");
  EXPECT_EQ(tensor_error(R"({"dtype":"F4","shape":[7],"data_offsets":[0,4]})"),
            "safetensors: tensor \"t\" has an impossible size");
  for (const char* shape : {"18446744073709551615,2", "4294967296,4294967296", "4294967296,4294967296,0",
                            "18446744073709551615", "4611686018427387904"}) {
    EXPECT_EQ(tensor_error(std::string(R"({"dtype":"F32","shape":[)") + shape + R"(],"data_offsets":[0,4]})"),
              "safetensors: tensor \"t\" has an impossible size")
        << shape;
  }
  for (const char* shape : {"-1", "1.0", "\"1\"", "null", "18446744073709551616", "[1]"}) {
    EXPECT_NE(tensor_error(std::string(R"({"dtype":"F32","shape":[)") + shape + R"(],"data_offsets":[0,4]})")
                  .find("where none is allowed"),
              std::string::npos)
        << shape;
  }
  for (const char* offsets : {"", "0", "4,0", "18446744073709551615,3"}) {
    EXPECT_EQ(tensor_error(std::string(R"({"dtype":"F32","shape":[1],"data_offsets":[)") + offsets + "]}"),
              "safetensors: tensor \"t\" has invalid data offsets")
        << offsets;
  }
  EXPECT_EQ(tensor_error(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,4]})"),
            "safetensors: tensor \"t\" has more than two data offsets");
  EXPECT_EQ(tensor_error(R"({"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]})"),
            "safetensors: tensor \"t\" has two members \"dtype\"");
  std::string ones = "1";
  for (int i = 0; i < 64; ++i) ones += ",1";
  EXPECT_EQ(tensor_error(R"({"dtype":"F32","data_offsets":[0,4],"shape":[)" + ones + "]}"),
            "safetensors: tensor \"t\" has too many dimensions");
}

TEST(safetensors, refuses_bad_layouts) {
  auto two = [](const std::string& a, const std::string& b, const std::string& name = "u") {
    return json_error(R"({"t":{"dtype":"U8","shape":[4],"data_offsets":[)" + a + "]},\"" + name +
                          R"(":{"dtype":"U8","shape":[4],"data_offsets":[)" + b + "]}}",
                      8);
  };
  EXPECT_EQ(two("0,4", "5,9"), "safetensors: tensor \"u\" leaves a hole in the data");
  EXPECT_EQ(two("5,9", "0,4"), "safetensors: tensor \"t\" leaves a hole in the data");
  EXPECT_EQ(two("1,5", "5,9"), "safetensors: tensor \"t\" leaves a hole in the data");
  EXPECT_EQ(two("0,4", "3,7"), "safetensors: tensor \"u\" overlaps another in the data");
  EXPECT_EQ(two("0,4", "0,4"), "safetensors: tensor \"u\" overlaps another in the data");
  EXPECT_EQ(two("0,4", "4,8", "t"), "safetensors: duplicate tensor name \"t\"");
}

TEST(safetensors, truncation_at_every_byte) {
  std::string const bytes = file_of(small_json, 21);
  read(bytes);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    // An exact copy, so that the address sanitizer sees a read one byte too far.
    const std::vector<char> copy(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    read_error(std::string(copy.begin(), copy.end()));
  }
  // The same with a length that is right for what is left.
  for (std::size_t size = 0; size < sizeof small_json - 4; ++size) {
    json_error(std::string(small_json, size), 21);
  }
}

TEST(safetensors, every_byte_changed) {
  std::string const bytes = file_of(small_json, 21);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (const char flip : {'\x01', '\x02', '\x80', '\xff'}) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(changed[i] ^ flip);
      try {
        const safetensors_file file = read(changed);
        EXPECT_TRUE(header_matches(file.header_json, file.tensors));
      } catch (const error& e) {
        EXPECT_STREQ(e.state(), "22P03") << e.what() << " at byte " << i;
      }
    }
  }
}

}  // namespace
}  // namespace hartonomous
