// A file that is no model file of its reader's kind: the error says what it looks like.
#include "bytes/file_kind.hpp"

#include "gguf_builder.hpp"
#include "gtest/gtest.h"
#include "hartonomous/error.hpp"
#include "hartonomous/safetensors.hpp"

namespace hartonomous {
namespace {

std::string kind_of(const std::string& bytes) {
  memory_source source(bytes.data(), bytes.size());
  const file_kind kind = recognize_file(source);
  return kind.name == nullptr ? "" : kind.name;
}

struct sample {
  std::string bytes;
  const char* kind;
};

// What people hand over instead of model files.
std::vector<sample> samples() {
  using namespace std::string_literals;
  return {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 12345\n", "a Git LFS pointer"},
      {"<!doctype html><html><body>Access denied</body></html>", "a web page"},
      {"\n  <HTML lang=en>not found", "a web page"},
      {"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "a web page"},
      {R"({"metadata":{},"weight_map":{"a":"model-00001-of-00002.safetensors"}})",
       "the index of a checkpoint in several files"},
      {R"({"architectures":["LlamaForCausalLM"]})", "a JSON text"},
      {"PK\x03\x04\0\0\x08\x08\0\0\0\0"s, "a zip archive"},
      {"\x80\x02}q\0X\x05\0\0\0model"s, "a Python pickle"},
      {"\x89HDF\r\n\x1a\n\0\0\0\0"s, "an HDF5 file"},
      {"\x1f\x8b\x08\0\0\0\0\0\0\xff"s, "a gzip archive"},
      {"tjgg\x03\0\0\0\0\x7d\0\0"s, "a ggml file older than GGUF"},
  };
}

std::string refusal(const std::string& bytes, bool gguf) {
  memory_source source(bytes.data(), bytes.size());
  no_interrupts interrupts;
  try {
    if (gguf) {
      read_gguf_header(source, interrupts);
    } else {
      read_safetensors_header(source, interrupts);
    }
  } catch (const error& e) {
    EXPECT_STREQ(e.state(), "22P03");
    EXPECT_FALSE(e.detail().empty());
    return e.what();
  }
  ADD_FAILURE() << "accepted";
  return {};
}

TEST(file_kind, both_readers_say_what_a_file_is) {
  for (const sample& s : samples()) {
    EXPECT_EQ(kind_of(s.bytes), s.kind);
    EXPECT_EQ(refusal(s.bytes, true), "GGUF: the file is " + std::string(s.kind) + ", not a GGUF file");
    EXPECT_EQ(refusal(s.bytes, false), "safetensors: the file is " + std::string(s.kind) + ", not a safetensors file");
  }
}

TEST(file_kind, one_container_for_the_other) {
  std::string const gguf = gguf_test::rich_file().bytes();
  std::string const safetensors = make_safetensors_header({{"a", "F32", {1}, 0, 0}}, {}) + std::string(4, '\0');
  EXPECT_EQ(refusal(gguf, false), "safetensors: the file is a GGUF file, not a safetensors file");
  EXPECT_EQ(refusal(safetensors, true), "GGUF: the file is a safetensors file, not a GGUF file");
}

TEST(file_kind, what_is_not_recognized_is_not_guessed) {
  for (const std::string& bytes :
       {std::string(), std::string(1, '\x80'), std::string(64, '\0'), std::string(64, '\xff'), std::string("PK"),
        std::string("\x80\x02\0\0\0\0\0\0{}", 10), std::string(8, '\xff') + "{}"}) {
    EXPECT_EQ(kind_of(bytes), "");
  }
  EXPECT_EQ(refusal(std::string(64, '\xff'), true), "GGUF: bad magic");
  EXPECT_EQ(refusal(std::string(64, '\xff'), false), "safetensors: header is too large");
}

TEST(file_kind, the_hint_is_of_use) {
  std::string const page = "<html>";
  memory_source source(page.data(), page.size());
  try {
    refuse_recognized(source, "GGUF", "A detail.");
    ADD_FAILURE();
  } catch (const error& e) {
    EXPECT_EQ(e.detail(), "A detail.");
    EXPECT_NE(e.hint().find("download"), std::string::npos);
  }
}

}  // namespace
}  // namespace hartonomous
