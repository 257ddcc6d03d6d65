// GGUF: what is read is written again to the byte, and the metadata survives its trip through JSON.
#include "hartonomous/gguf.hpp"

#include <algorithm>
#include <cstdint>

#include "gguf_builder.hpp"
#include "hartonomous/model_file.hpp"

#include <nlohmann/json.hpp>

namespace hartonomous {
namespace {

using namespace gguf_test;

// As jsonb gives it back: object keys by length and then by bytes, blanks after commas and colons.
std::string as_jsonb(const nlohmann::json& value) {
  std::string out;
  if (value.is_object()) {
    std::vector<std::string> keys;
    for (const auto& item : value.items()) keys.push_back(item.key());
    std::sort(keys.begin(), keys.end(),
              [](const auto& a, const auto& b) { return std::pair(a.size(), a) < std::pair(b.size(), b); });
    for (const auto& key : keys)
      out += (out.empty() ? "{" : ", ") + nlohmann::json(key).dump() + ": " + as_jsonb(value.at(key));
    return out + "}";
  }
  if (value.is_array()) {
    for (const auto& item : value) out += (out.empty() ? "[" : ", ") + as_jsonb(item);
    return out.empty() ? "[]" : out + "]";
  }
  return value.dump();
}

std::string json_error(const std::string& json, const std::string& state = "22P02") {
  gguf_metadata metadata;
  metadata.version = 2;
  try {
    metadata_from_json(json, metadata);
  } catch (const error& e) {
    EXPECT_EQ(e.state(), state) << e.what();
    EXPECT_EQ(metadata.version, 2U) << "changed by a failed conversion";
    return std::string(e.what()) + ": " + e.detail();
  }
  ADD_FAILURE() << "accepted: " << json;
  return {};
}

std::string with_entry(const std::string& entry) {
  return R"({"format":"gguf","version":3,"alignment":32,"kv":[)" + entry + "]}";
}

gguf_metadata parse(const std::string& json) {
  gguf_metadata metadata;
  metadata_from_json(json, metadata);
  return metadata;
}

TEST(gguf, reads_header) {
  std::string const bytes = rich_file().bytes();
  const gguf_file file = read(bytes);
  EXPECT_EQ(file.version, 3U);
  EXPECT_EQ(file.alignment, 32U);
  EXPECT_EQ(file.kv.size(), 22U);
  EXPECT_EQ(file.file_size, bytes.size());
  EXPECT_TRUE(file.canonical);
  ASSERT_EQ(file.tensors.size(), 2U);
  EXPECT_EQ(file.tensors[0].name, "blk.0.attn_q.weight");
  EXPECT_EQ(file.tensors[0].dims, (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(file.tensors[0].bytes, 24U);
  EXPECT_EQ(file.tensors[0].weights, 6U);
  EXPECT_EQ(file.tensors[0].offset, file.data_start);
  EXPECT_EQ(file.tensors[1].type, format::Q8_0);
  EXPECT_EQ(file.tensors[1].bytes, 34U);
  EXPECT_EQ(bytes.substr(file.tensors[1].offset, 34), std::string(34, 'b'));
}

TEST(gguf, writer_reproduces_canonical_files) {
  for (std::uint32_t const version : {2U, 3U}) {
    std::string const bytes = rich_file(version).bytes();
    const gguf_file file = read(bytes);
    EXPECT_TRUE(file.canonical);
    EXPECT_EQ(rewrite(file, bytes), bytes);
  }
}

TEST(gguf, other_alignment) {
  builder b;
  b.alignment = 8;
  b.kvs = {kv("general.alignment", 4, u32(8))};
  b.infos = {tensor_info("a", {3}, 24, 0), tensor_info("b", {1}, 0, 8)};
  b.data = std::string("abc\0\0\0\0\0wxyz\0\0\0\0", 16);
  gguf_file file = read(b.bytes());
  EXPECT_EQ(file.alignment, 8U);
  EXPECT_TRUE(file.canonical);
  EXPECT_EQ(rewrite(file, b.bytes()), b.bytes());
  file.set_uint32("general.alignment", 64);
  const gguf_file again = read(rewrite(file, b.bytes()));
  EXPECT_EQ(again.alignment, 64U);
  EXPECT_EQ(again.tensors[1].offset % 64, 0U);
}

TEST(gguf, readable_but_not_canonical) {
  const builder good = rich_file();
  auto canonical = [](const builder& b) { return read(b.bytes()).canonical; };
  builder b = good;
  b.data[25] = 'x';  // padding that is not zero
  EXPECT_FALSE(canonical(b));
  b = good;
  b.data.pop_back();  // no padding after the last tensor
  EXPECT_FALSE(canonical(b));
  b = good;
  b.data += std::string(32, '\0');  // more than the padding
  EXPECT_FALSE(canonical(b));
  b = good;
  b.infos[1] = tensor_info("blk.0.ffn_up.weight", {32}, 8, 64);  // a gap
  b.data += std::string(32, '\0');
  EXPECT_FALSE(canonical(b));
  b = good;
  std::swap(b.infos[0], b.infos[1]);  // not in the order of the data
  EXPECT_FALSE(canonical(b));
  std::string bytes = good.bytes();
  bytes[bytes.size() - good.data.size() - 1] = 'x';  // padding before the data
  ASSERT_NE(good.header().size() % 32, 0U);
  EXPECT_FALSE(read(bytes).canonical);
}

TEST(gguf, files_without_tensors) {
  builder b;
  EXPECT_FALSE(read(b.header()).canonical);  // 24 bytes, not padded
  EXPECT_TRUE(read(b.bytes()).canonical);
  EXPECT_EQ(rewrite(read(b.header()), ""), b.bytes());
}

// ggml's readers take both: a tensor without a weight, and one without a dimension, which is a single number.
TEST(gguf, empty_tensors_and_single_numbers) {
  builder b;
  b.infos = {tensor_info("rows.none", {4, 0}, 0, 0), tensor_info("none", {0}, 8, 0),
             tensor_info("logit_scale", {}, 0, 0), tensor_info("wide", {0, 3, 2}, 0, 32),
             tensor_info("last", {1}, 0, 32)};
  b.data = std::string(4, 'a') + std::string(28, '\0') + std::string(4, 'b') + std::string(28, '\0');
  const gguf_file file = read(b.bytes());
  EXPECT_TRUE(file.canonical);
  EXPECT_EQ(rewrite(file, b.bytes()), b.bytes());
  EXPECT_EQ(file.tensors[0].weights, 0U);
  EXPECT_EQ(file.tensors[0].bytes, 0U);
  EXPECT_EQ(file.tensors[1].bytes, 0U);
  EXPECT_EQ(file.tensors[2].weights, 1U);
  EXPECT_EQ(file.tensors[2].bytes, 4U);
  EXPECT_EQ(file.tensors[4].offset, file.data_start + 32);
  std::string const bytes = b.bytes();
  memory_source whole(bytes.data(), bytes.size());
  no_interrupts interrupts;
  const model_file model = read_model_files({&whole}, "gguf", {}, interrupts).file;
  EXPECT_EQ(model.tensors[0].shape, (std::vector<std::uint64_t>{0, 4}));
  EXPECT_EQ(model.tensors[0].row_length, 4U);
  EXPECT_TRUE(model.tensors[2].shape.empty());
  EXPECT_EQ(model.tensors[2].row_length, 1U);
  // In any order at the same place, for none of them covers anything.
  std::swap(b.infos[1], b.infos[2]);
  EXPECT_NO_THROW(read(b.bytes()));
}

TEST(gguf, metadata_survives_json) {
  for (std::uint32_t const version : {2U, 3U}) {
    std::string const bytes = rich_file(version).bytes();
    const gguf_file file = read(bytes);
    std::string const json = metadata_to_json(file);
    gguf_file again = file;
    again.kv.clear();
    again.version = again.alignment = 0;
    metadata_from_json(json, again);
    EXPECT_EQ(again.kv, file.kv);
    EXPECT_EQ(again.version, version);
    EXPECT_EQ(again.alignment, 32U);
    EXPECT_EQ(rewrite(again, bytes), bytes);
  }
}

TEST(gguf, json_spelling) {
  std::string const json = metadata_to_json(read(rich_file().bytes()));
  EXPECT_EQ(json.find(R"({"format":"gguf","version":3,"alignment":32,"kv":[{"key":"general.architecture",)"
                      R"("type":"string","value":"llama"})"),
            0U);
  for (
      const char* part : {
          R"({"key":"v.u64","type":"u64","value":18446744073709551615})",
          R"({"key":"v.i64","type":"i64","value":-9223372036854775808})",
          R"({"key":"v.f32","type":"f32","value":0.1})",
          R"("value":["0x7fc00001","0xff812345","0x7f800000","0xff800000","0x80000000",1e-45,3.4028235e+38,16777216,-1])",
          R"("value":["0x7ff0000000000001","0xfff0000000000000","0x8000000000000000",5e-324,)",
          R"({"key":"a.empty","type":"array","element":"string","value":[]})",
          R"({"hex":"fffe"},{"hex":"610062"},"\"\\\b\f\n\r\t\u0001)",
          R"({"key":{"hex":"6e6f742075746638)",
      }) {
    EXPECT_NE(json.find(part), std::string::npos) << part << " in " << json;
  }
}

TEST(gguf, metadata_survives_jsonb) {
  builder b = rich_file();
  const gguf_file file = read(b.bytes());
  // nlohmann's tree keeps 64-bit integers and the strings; its doubles hold every f32 and f64 here exactly.
  std::string const text = as_jsonb(nlohmann::json::parse(metadata_to_json(file)));
  EXPECT_LT(text.find("\"value\": [\"0x7fc00001\""), text.find("\"element\": \"f32\""));
  EXPECT_EQ(parse(text).kv, file.kv);
  // jsonb spells 1e+22 out, and keeps 0.10 as it is.
  const gguf_metadata numbers = parse(with_entry(
      R"({"key": "k", "type": "array", "value": [10000000000000000000000, 0.10, 0.000000000000000000001], "element": "f32"})"));
  EXPECT_EQ(numbers.get_floats("k"), (std::vector<float>{1e22F, 0.1F, 1e-21F}));
}

TEST(gguf, floats_are_not_rounded_twice) {
  // Just above halfway between two floats, by less than a double can see: a detour through double would lose it.
  const gguf_metadata metadata =
      parse(with_entry(R"({"key":"k","type":"f32","value":1.00000005960464477539062500000000001})"));
  EXPECT_EQ(metadata.get_float("k"), static_cast<double>(1.0F + 1.1920929e-7F));
}

TEST(gguf, many_values_keep_their_bits) {
  std::string values;
  std::uint64_t state = 1;
  for (int i = 0; i < 20000; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    values += u64(state ^ state >> 29);
  }
  builder b;
  b.kvs = {kv_array("f32", 6, 40000, values),  kv_array("f64", 12, 20000, values), kv_array("i64", 11, 20000, values),
           kv_array("u64", 10, 20000, values), kv_array("i8", 1, 160000, values),  kv_array("u16", 2, 80000, values)};
  const gguf_file file = read(b.bytes());
  EXPECT_EQ(parse(metadata_to_json(file)).kv, file.kv);
}

TEST(gguf, refuses_malformed_json) {
  EXPECT_EQ(json_error("{"), "invalid JSON in GGUF metadata: The error is at byte 2.");
  for (const char* json : {
           "",
           "[]",
           "null",
           "1",
           "{}",
           "\"gguf\"",
           R"({"format":"gguf","version":3,"alignment":32})",
           R"({"format":"gguf","version":3,"alignment":32,"kv":{}})",
           R"({"format":"gguf","version":3,"alignment":32,"kv":[],"kv":[]})",
           R"({"format":"gguf","version":3,"alignment":32,"kv":[],"more":1})",
           R"({"format":"gguf","version":3,"alignment":32,"kv":[]}x)",
           R"({"format":"ggml","version":3,"alignment":32,"kv":[]})",
           R"({"format":"gguf","version":1,"alignment":32,"kv":[]})",
           R"({"format":"gguf","version":3,"alignment":64,"kv":[]})",
           R"({"format":"gguf","version":3.5,"alignment":32,"kv":[]})",
           R"({"format":"gguf","version":{"hex":"03"},"alignment":32,"kv":[]})",
       }) {
    json_error(json);
  }
  json_error(std::string(R"({"format":"gguf","version":3,"alignment":32,"kv":[]})") + std::string("\0x", 2));
  json_error(with_entry(std::string(100000, '[') + std::string(100000, ']')));
  json_error(std::string(1000000, '['));
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += R"({"hex":)";
  json_error(with_entry(deep));
}

TEST(gguf, refuses_malformed_entries) {
  for (const char* entry : {
           "1",
           "[]",
           "{}",
           R"({"key":"k","type":"u8"})",
           R"({"key":"k","value":1})",
           R"({"type":"u8","value":1})",
           R"({"key":"","type":"u8","value":1})",
           R"({"key":"k","type":"u8","value":256})",
           R"({"key":"k","type":"u8","value":-1})",
           R"({"key":"k","type":"u8","value":1.0})",
           R"({"key":"k","type":"u8","value":"1"})",
           R"({"key":"k","type":"u8","value":null})",
           R"({"key":"k","type":"u8","value":true})",
           R"({"key":"k","type":"u8","value":[1]})",
           R"({"key":"k","type":"i8","value":128})",
           R"({"key":"k","type":"i64","value":9223372036854775808})",
           R"({"key":"k","type":"u64","value":18446744073709551616})",
           R"({"key":"k","type":"f32","value":1e39})",
           R"({"key":"k","type":"f64","value":1e309})",
           R"({"key":"k","type":"f32","value":"nan"})",
           R"({"key":"k","type":"f32","value":"0x7fc0000g"})",
           R"({"key":"k","type":"f64","value":"0x7fc00001"})",
           R"({"key":"k","type":"bool","value":1})",
           R"({"key":"k","type":"string","value":1})",
           R"({"key":"k","type":"string","value":{"hex":"0"}})",
           R"({"key":"k","type":"string","value":{"hex":1}})",
           R"({"key":"k","type":"string","value":{}})",
           R"({"key":"k","type":"string","value":{"oct":"00"}})",
           R"({"key":"k","type":"string","value":{"hex":"00","hex":"00"}})",
           R"({"key":"k","type":"string","value":{"hex":["00"]}})",
           R"({"key":"k","type":"u128","value":1})",
           R"({"key":"k","type":"u8","element":"u8","value":1})",
           R"({"key":"k","type":"array","value":[1]})",
           R"({"key":"k","type":"array","element":"u8","value":1})",
           R"({"key":"k","type":"array","element":"u8","value":[1,[2]]})",
           R"({"key":"k","type":"array","element":"array","value":[]})",
           R"({"key":"k","type":"u8","value":1},{"key":"k","type":"u8","value":1})",
           R"({"key":"k","key":"k","type":"u8","value":1})",
           R"({"key":5,"type":"u8","value":1})",
           R"({"key":"k","type":{"hex":"75"},"value":1})",
           R"({"key":"k","type":"u8","value":1,"more":2})",
           R"({"key":"general.alignment","type":"u32","value":24})",
       }) {
    json_error(with_entry(entry));
  }
  EXPECT_EQ(parse(with_entry(R"({"value":{"hex":"FFfe"},"key":"k","type":"string"})")).get_string("k"), "\xff\xfe");
}

TEST(gguf, look_ups) {
  gguf_file file = read(rich_file().bytes());
  EXPECT_EQ(file.get_string("general.architecture"), "llama");
  EXPECT_EQ(file.get_uint("v.u8"), 255U);
  EXPECT_EQ(file.get_uint("v.u64"), UINT64_MAX);
  EXPECT_EQ(file.get_float("v.f32"), static_cast<double>(0.1F));
  EXPECT_EQ(file.get_float("v.f64"), 0.1);
  EXPECT_EQ(file.get_bool("v.true"), true);
  EXPECT_EQ(file.get_bool("v.false"), false);
  EXPECT_EQ(file.get_strings("a.string")->at(1), "\xe2\x96\x81the");
  EXPECT_EQ(file.get_strings("a.empty")->size(), 0U);
  EXPECT_EQ(file.get_ints("a.i64"), (std::vector<std::int64_t>{-9007199254740993, 7}));
  EXPECT_EQ(file.get_floats("a.f32")->at(7), 16777216.0F);
  EXPECT_EQ(file.get_uint("absent"), std::nullopt);
  EXPECT_EQ(file.get_strings("absent"), std::nullopt);
  EXPECT_THROW(file.get_uint("v.i8"), error);   // negative
  EXPECT_THROW(file.get_uint("v.f32"), error);  // of another type
  EXPECT_THROW(file.get_string("v.u8"), error);
  EXPECT_THROW(file.get_strings("general.architecture"), error);
  EXPECT_THROW(file.get_uint("a.u64"), error);  // an array
  file.set_uint32("v.u8", 7);
  EXPECT_EQ(file.kv[1].key, "v.u8");  // replaced in its place
  EXPECT_EQ(file.get_uint("v.u8"), 7U);
  std::size_t const count = file.kv.size();
  file.set_uint32("general.file_type", 15);
  EXPECT_EQ(file.kv.size(), count + 1);
  EXPECT_EQ(file.kv.back().type, gguf_type::u32);
  EXPECT_THROW(file.set_uint32("", 1), error);
  EXPECT_THROW(file.set_uint32("general.alignment", 3), error);
}

TEST(gguf, what_is_set_is_what_is_read) {
  gguf_metadata metadata;
  metadata.set_string("k.string", std::string("a\0b", 3));
  metadata.set_bool("k.bool", true);
  metadata.set_float("k.float", 0.1F);
  metadata.set_strings("k.strings", {"", "x"});
  metadata.set_ints("k.ints", {-1, 7});
  metadata.set_floats("k.floats", {-0.0F, 1e-5F});
  metadata.set_string("k.bool", "no bool any more");
  string_sink sink;
  gguf_writer writer(sink, metadata, {});
  writer.write_header();
  const gguf_file file = read(sink.bytes);
  EXPECT_EQ(file.kv.size(), 6U);
  EXPECT_EQ(file.get_string("k.string"), std::string("a\0b", 3));
  EXPECT_EQ(file.get_string("k.bool"), "no bool any more");
  EXPECT_EQ(file.get_float("k.float"), 0.1F);
  EXPECT_EQ(file.get_strings("k.strings"), (std::vector<std::string>{"", "x"}));
  EXPECT_EQ(file.get_ints("k.ints"), (std::vector<std::int64_t>{-1, 7}));
  EXPECT_EQ(file.get_floats("k.floats"), (std::vector<float>{-0.0F, 1e-5F}));
  EXPECT_EQ(file.find("k.ints")->element, gguf_type::i32);
  EXPECT_EQ(file.find("k.floats")->element, gguf_type::f32);
  EXPECT_THROW(metadata.set_ints("", {1}), error);
}

TEST(gguf, writer_refuses) {
  string_sink sink;
  auto plan = [&](const gguf_metadata& metadata, const std::vector<gguf_tensor_spec>& tensors) {
    gguf_writer writer(sink, metadata, tensors);
  };
  EXPECT_THROW(plan({}, {{"a", {1, 1, 1, 1, 1}, format::F32}}), error);
  EXPECT_THROW(plan({}, {{"a", {33}, format::Q8_0}}), error);
  EXPECT_THROW(plan({}, {{"a", {1}, format::F32}, {"a", {1}, format::F32}}), error);
  EXPECT_THROW(plan({}, {{"a", {std::uint64_t{1} << 60}, format::F32}, {"b", {std::uint64_t{1} << 60}, format::F32}}),
               error);
  gguf_metadata bad;
  bad.kv = {{"k", gguf_type::u32, gguf_type::u32, 1, "abc"}};
  EXPECT_THROW(plan(bad, {}), error);
  EXPECT_THROW(metadata_to_json(bad), error);

  gguf_writer writer(sink, {}, {{"a", {2}, format::F32}, {"b", {1}, format::F32}});
  EXPECT_THROW(writer.begin_tensor(0), error);  // before the header
  writer.write_header();
  EXPECT_THROW(writer.write_header(), error);
  EXPECT_THROW(writer.begin_tensor(1), error);  // not in order
  EXPECT_THROW(writer.write("x", 1), error);
  writer.begin_tensor(0);
  writer.write("abcd", 4);
  EXPECT_THROW(writer.end_tensor(), error);       // too few
  EXPECT_THROW(writer.write("12345", 5), error);  // too many
  writer.write("efgh", 4);
  writer.end_tensor();
  EXPECT_FALSE(writer.complete());
}

TEST(gguf, memory_source_checks_bounds) {
  char byte = 0;
  memory_source source("ab", 2);
  source.read(1, &byte, 1);
  EXPECT_EQ(byte, 'b');
  source.read(2, nullptr, 0);
  EXPECT_THROW(source.read(2, &byte, 1), error);
  EXPECT_THROW(source.read(UINT64_MAX, &byte, 2), error);
  EXPECT_THROW(source.read(3, &byte, 0), error);
}

}  // namespace
}  // namespace hartonomous
