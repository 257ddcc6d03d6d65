// Importance matrices of llama.cpp in files: both formats are read as llama-quantize reads them and written as
// llama-imatrix writes them; malformed files are refused. Files are built byte by byte.
#include "hartonomous/importance_file.hpp"

#include <cmath>
#include <limits>

#include "countdown.hpp"
#include "gguf_builder.hpp"

namespace hartonomous {
namespace {

using namespace gguf_test;

std::string floats(const std::vector<float>& values) {
  std::string out;
  for (const float value : values) out += le(value);
  return out;
}

importance_file read_importance(const std::string& bytes) {
  memory_source source(bytes.data(), bytes.size());
  no_interrupts interrupts;
  return read_importance_file(source, interrupts);
}

std::vector<float> sums_of(const std::string& bytes, const importance_entry& entry) {
  memory_source source(bytes.data(), bytes.size());
  no_interrupts interrupts;
  std::vector<float> sums(entry.sums);
  read_importance_sums(source, entry, sums, interrupts);
  return sums;
}

// Message and detail of the error with this SQLSTATE.
template <class F>
std::string error_of(F&& body, const std::string& state = "22P03") {
  try {
    body();
  } catch (const error& e) {
    EXPECT_EQ(e.state(), state) << e.what();
    return std::string(e.what()) + " / " + e.detail();
  }
  ADD_FAILURE() << "accepted";
  return {};
}

std::string refusal(const std::string& bytes, const std::string& state = "22P03") {
  return error_of([&] { read_importance(bytes); }, state);
}

// A dense matrix of three columns, and two experts of two columns, of which one saw no token.
builder gguf_example() {
  builder b;
  b.kvs = {kv("general.type", 8, str("imatrix")), kv_array("imatrix.datasets", 8, 1, str("some text")),
           kv("imatrix.chunk_count", 4, u32(3)), kv("imatrix.chunk_size", 4, u32(4))};
  b.infos = {tensor_info("blk.0.attn_q.weight.in_sum2", {3}, 0, 0),
             tensor_info("blk.0.attn_q.weight.counts", {1}, 0, 32),
             tensor_info("blk.0.ffn_up_exps.weight.in_sum2", {2, 2}, 0, 64),
             tensor_info("blk.0.ffn_up_exps.weight.counts", {1, 2}, 0, 96)};
  for (const auto& values : {floats({3, 6, 0}), floats({12}), floats({5, 10, 0, 0}), floats({10, 0})}) {
    b.data += values;
    b.data.resize((b.data.size() + 31) / 32 * 32, '\0');
  }
  return b;
}

std::string legacy_entry(const std::string& name, std::int32_t chunks, const std::vector<float>& values) {
  return le<std::int32_t>(static_cast<std::int32_t>(name.size())) + name + le(chunks) +
         le<std::int32_t>(static_cast<std::int32_t>(values.size())) + floats(values);
}

std::string legacy_end(std::int32_t chunks, const std::string& dataset) {
  return le(chunks) + le<std::int32_t>(static_cast<std::int32_t>(dataset.size())) + dataset;
}

// The same statistics as in gguf_example().
std::string legacy_example() {
  return le<std::int32_t>(2) + legacy_entry("blk.0.attn_q.weight", 3, {0.75F, 1.5F, 0}) +
         legacy_entry("blk.0.ffn_up_exps.weight", 3, {1.5F, 3, 3, 3}) + legacy_end(3, "some text");
}

std::string written(importance_file file, const std::vector<std::vector<float>>& sums) {
  string_sink sink;
  importance_writer writer(sink, std::move(file));
  writer.write_header();
  for (const auto& values : sums) writer.write_sums(values);
  writer.write_end();
  EXPECT_EQ(writer.file_size(), sink.bytes.size());
  return sink.bytes;
}

TEST(importance_file, reads_gguf) {
  const std::string bytes = gguf_example().bytes();
  const importance_file file = read_importance(bytes);
  EXPECT_EQ(file.format, importance_format::gguf);
  EXPECT_EQ(file.datasets, std::vector<std::string>{"some text"});
  EXPECT_EQ(file.chunk_count, 3U);
  EXPECT_EQ(file.chunk_size, 4U);
  ASSERT_EQ(file.entries.size(), 2U);
  EXPECT_EQ(file.entries[0].name, "blk.0.attn_q.weight");
  EXPECT_EQ(file.entries[0].counts, std::vector<std::int64_t>{12});
  EXPECT_EQ(sums_of(bytes, file.entries[0]), (std::vector<float>{3, 6, 0}));
  EXPECT_EQ(file.entries[1].name, "blk.0.ffn_up_exps.weight");
  EXPECT_EQ(file.entries[1].counts, (std::vector<std::int64_t>{10, 0}));
  EXPECT_EQ(sums_of(bytes, file.entries[1]), (std::vector<float>{5, 10, 0, 0}));
}

TEST(importance_file, reads_legacy) {
  const std::string bytes = legacy_example();
  const importance_file file = read_importance(bytes);
  EXPECT_EQ(file.format, importance_format::legacy);
  EXPECT_EQ(file.datasets, std::vector<std::string>{"some text"});
  EXPECT_EQ(file.chunk_count, 3U);
  EXPECT_EQ(file.chunk_size, 0U);
  ASSERT_EQ(file.entries.size(), 2U);
  EXPECT_EQ(file.entries[0].counts, std::vector<std::int64_t>{3});
  EXPECT_EQ(sums_of(bytes, file.entries[0]), (std::vector<float>{0.75F, 1.5F, 0}));
  EXPECT_EQ(sums_of(bytes, file.entries[1]), (std::vector<float>{1.5F, 3, 3, 3}));
}

TEST(importance_file, legacy_end_is_optional) {
  const std::string entry = le<std::int32_t>(1) + legacy_entry("a", 2, {1, 2});
  EXPECT_TRUE(read_importance(entry).datasets.empty());
  EXPECT_EQ(read_importance(entry + le<std::int32_t>(7)).chunk_count, 7U);
  EXPECT_TRUE(read_importance(entry + legacy_end(-1, "")).datasets.empty());
  EXPECT_EQ(read_importance(entry + legacy_end(-1, "")).chunk_count, 0U);
}

// llama-quantize divides by the number of chunks only if it is positive.
TEST(importance_file, legacy_without_chunks_counts_one) {
  for (const std::int32_t chunks : {0, -5}) {
    const std::string bytes = le<std::int32_t>(1) + legacy_entry("a", chunks, {1, 2});
    EXPECT_EQ(read_importance(bytes).entries.at(0).counts, std::vector<std::int64_t>{1});
  }
}

TEST(importance_file, entries_are_ordered_by_name) {
  const std::string bytes = le<std::int32_t>(2) + legacy_entry("b", 1, {1}) + legacy_entry("a", 1, {2});
  EXPECT_EQ(read_importance(bytes).entries.at(0).name, "a");
}

TEST(importance_file, other_tensors_are_ignored) {
  builder b = gguf_example();
  b.infos.push_back(tensor_info("something else", {1}, 0, 128));
  b.infos.push_back(tensor_info(".counts", {1}, 0, 160));
  b.data += std::string(64, '\0');
  EXPECT_EQ(read_importance(b.bytes()).entries.size(), 2U);
}

TEST(importance_file, gguf_needs_its_keys) {
  for (std::size_t missing = 1; missing < 4; ++missing) {
    builder b = gguf_example();
    b.kvs.erase(b.kvs.begin() + static_cast<std::ptrdiff_t>(missing));
    EXPECT_NE(refusal(b.bytes()).find("is missing"), std::string::npos);
  }
  builder b = gguf_example();
  b.kvs.erase(b.kvs.begin());
  EXPECT_EQ(read_importance(b.bytes()).entries.size(), 2U) << "llama.cpp does not look at general.type";
}

TEST(importance_file, refuses_models) {
  EXPECT_NE(refusal(rich_file().bytes()).find("the GGUF file has none"), std::string::npos);
  builder b = gguf_example();
  b.kvs[0] = kv("general.type", 8, str("model"));
  EXPECT_NE(refusal(b.bytes()).find("the GGUF file has none"), std::string::npos);
}

TEST(importance_file, sums_and_counts_must_fit) {
  builder b = gguf_example();
  b.infos[1] = tensor_info("blk.0.attn_q.weight.counts", {1, 2}, 0, 32);
  EXPECT_NE(refusal(b.bytes()).find("do not fit each other / There are 3 sums and 2 counts."), std::string::npos);
  b.infos[1] = tensor_info("blk.0.attn_q.weight.counts", {0, 1}, 0, 32);
  EXPECT_NE(refusal(b.bytes()).find("There are 3 sums and 0 counts."), std::string::npos);
  b.infos[1] = tensor_info("blk.0.attn_q.weight.counts", {2}, 1, 32);
  EXPECT_NE(refusal(b.bytes()).find("not F32"), std::string::npos);
  b.infos[1] = tensor_info("blk.0.attn_k.weight.counts", {1}, 0, 32);
  EXPECT_NE(refusal(b.bytes()).find("\"blk.0.attn_k.weight\" has token counts only"), std::string::npos);
}

TEST(importance_file, counts_must_be_counts) {
  for (const float bad : {-1.0F, std::nanf(""), std::numeric_limits<float>::infinity(), 1e30F}) {
    builder b = gguf_example();
    b.data.replace(32, 4, le(bad));
    EXPECT_NE(refusal(b.bytes()).find("invalid token count"), std::string::npos);
  }
  builder b = gguf_example();
  b.data.replace(32, 4, le(11.5F));
  EXPECT_EQ(read_importance(b.bytes()).entries.at(0).counts, std::vector<std::int64_t>{12}) << "rounded";
}

TEST(importance_file, sums_must_be_sums_of_squares) {
  for (const float bad : {-1.0F, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    const std::string bytes = le<std::int32_t>(1) + legacy_entry("a", 1, {1, bad});
    const importance_entry entry = read_importance(bytes).entries.at(0);
    EXPECT_NE(error_of([&] { sums_of(bytes, entry); }).find("\"a\" has an invalid sum of squares / Number 2"),
              std::string::npos);
  }
}

TEST(importance_file, refuses_truncated_files) {
  const std::string whole = legacy_example();
  // Where the optional end is missing, the file is complete.
  const std::size_t without_end = whole.size() - legacy_end(3, "some text").size();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    if (size == without_end || size == without_end + 4) continue;
    refusal(whole.substr(0, size));
  }
  const std::string gguf = gguf_example().bytes();
  for (std::size_t size = 0; size + 32 < gguf.size(); ++size) refusal(gguf.substr(0, size));
}

TEST(importance_file, refuses_other_files) {
  EXPECT_NE(refusal("<!DOCTYPE html><html></html>").find("the file is a web page"), std::string::npos);
  EXPECT_NE(refusal(std::string("PK\3\4") + std::string(40, 'x')).find("the file is a zip archive"), std::string::npos);
  EXPECT_NE(refusal(le<std::int32_t>(0)).find("the file has none"), std::string::npos);
  EXPECT_NE(refusal(le<std::int32_t>(-1) + std::string(40, 'x')).find("the file has none"), std::string::npos);
  EXPECT_NE(refusal(legacy_example() + "x").find("1 bytes follow its end"), std::string::npos);
}

TEST(importance_file, refuses_bad_legacy_entries) {
  const auto file = [](const std::string& entry) { return le<std::int32_t>(1) + entry + std::string(64, '\0'); };
  EXPECT_NE(refusal(file(le<std::int32_t>(-1))).find("invalid length"), std::string::npos);
  EXPECT_NE(refusal(file(le<std::int32_t>(256) + std::string(256, 'a'))).find("invalid length"), std::string::npos);
  EXPECT_NE(refusal(file(legacy_entry("", 1, {1}))).find("name of entry number 1 is invalid"), std::string::npos);
  EXPECT_NE(refusal(file(legacy_entry("\xff", 1, {1}))).find("is invalid"), std::string::npos);
  EXPECT_NE(refusal(file(legacy_entry(std::string("a\0b", 3), 1, {1}))).find("is invalid"), std::string::npos);
  EXPECT_NE(refusal(file(legacy_entry("a", 1, {}))).find("has no values"), std::string::npos);
  EXPECT_NE(refusal(file(u32(1) + "a" + u32(1) + u32(0x7fffffff))).find("truncated"), std::string::npos);
  const std::string twice = legacy_entry("a", 1, {1}) + legacy_entry("a", 1, {1});
  EXPECT_NE(refusal(le<std::int32_t>(2) + twice).find("\"a\" occurs twice"), std::string::npos);
}

// Memory follows what is in the file: sums are not read with the header, and the others have limits.
TEST(importance_file, entries_have_a_limit) {
  std::string bytes = u32(importance_max_entries + 1);
  bytes.resize(bytes.size() + (importance_max_entries + 1) * 17, '\0');
  EXPECT_NE(refusal(bytes, "54000").find("too many entries"), std::string::npos);
}

TEST(importance_file, counts_have_a_limit) {
  builder b = gguf_example();
  const std::uint64_t counts = importance_max_counts + 1;
  b.infos = {tensor_info("a.in_sum2", {1, counts}, 0, 0), tensor_info("a.counts", {1, counts}, 0, counts * 4 + 28)};
  b.data = std::string(counts * 8 + 28, '\0');
  EXPECT_NE(refusal(b.bytes(), "54000").find("too many experts"), std::string::npos);
}

TEST(importance_file, can_be_interrupted) {
  std::string bytes = u32(1000);
  for (int i = 0; i < 1000; ++i) bytes += legacy_entry("tensor " + std::to_string(i), 1, {1});
  memory_source source(bytes.data(), bytes.size());
  countdown interrupts(5);
  EXPECT_THROW(read_importance_file(source, interrupts), std::domain_error);
}

TEST(importance_file, mean_is_divided_in_single_precision) {
  const std::vector<float> sums = {1, 10, 0.1F};
  std::vector<float> means(3);
  mean_squares(sums, std::vector<std::int64_t>{3}, means);
  EXPECT_EQ(means, (std::vector<float>{1.0F / 3.0F, 10.0F / 3.0F, 0.1F / 3.0F}));
  // The count is converted to float first: 16777217 becomes 16777216.
  mean_squares(sums, std::vector<std::int64_t>{16777217}, means);
  EXPECT_EQ(means[1], 10.0F / 16777216.0F);
}

TEST(importance_file, experts_have_means_of_their_own) {
  std::vector<float> values = {5, 10, 7, 7};
  mean_squares(values, std::vector<std::int64_t>{10, 0}, values);
  EXPECT_EQ(values, (std::vector<float>{0.5F, 1, 1, 1})) << "1 where no token was seen";
  const std::vector<float> three(3);
  const std::vector<std::int64_t> two(2), none;
  std::vector<float> to(3);
  error_of([&] { mean_squares(three, two, to); }, "22023");
  error_of([&] { mean_squares(three, none, to); }, "22023");
}

importance_file example_to_write(importance_format format) {
  importance_file file;
  file.format = format;
  file.datasets = {"some text"};
  file.chunk_size = 4;
  file.entries = {{"blk.0.attn_q.weight", {12}, 3, 0}, {"blk.0.ffn_up_exps.weight", {10, 0}, 4, 0}};
  return file;
}

TEST(importance_file, writes_gguf) {
  EXPECT_EQ(written(example_to_write(importance_format::gguf), {{3, 6, 0}, {5, 10, 0, 0}}), gguf_example().bytes());
}

TEST(importance_file, writes_legacy) {
  EXPECT_EQ(written(example_to_write(importance_format::legacy), {{3, 6, 0}, {5, 10, 0, 0}}), legacy_example());
}

TEST(importance_file, legacy_rounds_chunks_up_and_leaves_out_what_saw_no_token) {
  importance_file file = example_to_write(importance_format::legacy);
  file.datasets = {"first", "last"};
  file.entries = {{"b", {5, 0}, 2, 0}, {"a", {0, 0}, 2, 0}};
  // 5 tokens are two chunks of 4 for the entry, but only one is complete.
  EXPECT_EQ(written(file, {{20, 3}}), le<std::int32_t>(1) + legacy_entry("b", 2, {8, 2}) + legacy_end(1, "last"));
}

TEST(importance_file, refuses_to_write_nonsense) {
  string_sink sink;
  const auto refuses = [&](importance_file file) {
    return error_of([&] { importance_writer(sink, std::move(file)); }, "22023");
  };
  for (const importance_format format : {importance_format::gguf, importance_format::legacy}) {
    importance_file file = example_to_write(format);
    file.chunk_size = 0;
    EXPECT_NE(refuses(file).find("chunk size"), std::string::npos);
    file = example_to_write(format);
    file.entries[0].counts = {1, 2};
    EXPECT_NE(refuses(file).find("3 sums of squares and 2 token counts"), std::string::npos);
    file.entries[0].counts = {-1};
    EXPECT_NE(refuses(file).find("negative"), std::string::npos);
    file.entries.clear();
    EXPECT_NE(refuses(file).find("nothing to write"), std::string::npos);
  }
  importance_file unseen = example_to_write(importance_format::legacy);
  unseen.entries = {{"a", {0}, 1, 0}};
  EXPECT_NE(refuses(unseen).find("nothing to write"), std::string::npos);
}

TEST(importance_file, writing_is_in_order) {
  string_sink sink;
  importance_writer writer(sink, example_to_write(importance_format::legacy));
  writer.write_header();
  error_of([&] { writer.write_sums(std::vector<float>(2)); }, "22023");
  error_of([&] { writer.write_end(); }, "22023");
}

}  // namespace
}  // namespace hartonomous
