// Chunks of archives: what goes in comes out to the bit, whatever it is; sizes; and nothing else is taken for a chunk.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "archive/contents.hpp"
#include "archive/planes.hpp"
#include "countdown.hpp"
#include "hartonomous/archive.hpp"
#include "hartonomous/codec.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/half.hpp"
#include "targets.hpp"

namespace hartonomous {
namespace {

using bytes = std::vector<std::byte>;
using generator = std::mt19937_64;

constexpr std::size_t plenty = std::size_t{1} << 28;

template <class T>
bytes bytes_of_values(const std::vector<T>& values) {
  bytes raw(values.size() * sizeof(T));
  if (!raw.empty()) std::memcpy(raw.data(), values.data(), raw.size());
  return raw;
}

std::vector<float> normal_weights(std::size_t count) {
  generator g(7);
  std::normal_distribution<float> normal(0.0F, 0.02F);
  std::vector<float> weights(count);
  for (float& weight : weights) weight = normal(g);
  return weights;
}

std::string state_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const error& e) {
    return e.state();
  }
  return "none";
}

// ---- sharing ----------------------------------------------------------------------------------------------------

// Atoms of one F32 each, so that they are told apart by their values.
struct numbered_atoms {
  explicit numbered_atoms(std::vector<float> of) : values(std::move(of)) {
    for (float& value : values) {
      views.push_back({format::F32, 1, {reinterpret_cast<const std::byte*>(&value), sizeof value}});
    }
  }
  std::vector<float> values;
  std::vector<atom_weights> views;
};

std::vector<std::int64_t> signature_of(const std::vector<float>& values) {
  no_interrupts none;
  return sharing_signature(numbered_atoms(values).views, none);
}

TEST(Sharing, SignaturesAreOfSets) {
  const auto all = signature_of({1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  EXPECT_EQ(all.size(), 8U);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  EXPECT_EQ(all, signature_of({10, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}));
  EXPECT_EQ(signature_of({1, 2}).size(), 2U);
  EXPECT_TRUE(signature_of({}).empty());
}

// Each of a hundred sets with half of the atoms is found: one that is not has a probability of 1/256.
TEST(Sharing, PartsAreFoundByTheirSignature) {
  std::vector<float> all(2000);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<float>(i);
  const auto whole = signature_of(all);
  generator g(3);
  int found = 0;
  for (int trial = 0; trial < 100; ++trial) {
    std::shuffle(all.begin(), all.end(), g);
    const auto part = signature_of({all.begin(), all.begin() + 1000});
    found += std::find_first_of(part.begin(), part.end(), whole.begin(), whole.end()) == part.end() ? 0 : 1;
  }
  EXPECT_GE(found, 97);
}

TEST(Sharing, AtomsAreFoundByBits) {
  no_interrupts none;
  const numbered_atoms stored({1, 0, 2, 0, 3});
  const auto find = [&](const std::vector<float>& values) {
    return find_atoms(numbered_atoms(values).views, stored.views, none);
  };
  using indexes = std::vector<std::int32_t>;
  EXPECT_EQ(find({1, 0, 2, 0, 3}), (indexes{0, 1, 2, 3, 4})) << "the same atoms are found in order";
  EXPECT_EQ(find({2, 0, 3, 1}), (indexes{2, 3, 4, 0}));
  EXPECT_EQ(find({4, 3, -0.0F}), (indexes{-1, 4, -1}));
  EXPECT_EQ(find({}), indexes{});
  const atom_weights halves = {format::BF16, 2, stored.views[0].blocks};
  EXPECT_EQ(find_atoms({&halves, 1}, stored.views, none), indexes{-1}) << "the format counts";
  EXPECT_EQ(find_atoms({&halves, 1}, {}, none), indexes{-1});
}

TEST(Sharing, IsInterrupted) {
  const numbered_atoms atoms(std::vector<float>(200000, 1.0F));
  countdown first(1);
  EXPECT_THROW(sharing_signature(atoms.views, first), std::domain_error);
  countdown later(3);
  EXPECT_THROW(find_atoms(atoms.views, numbered_atoms({2}).views, later), std::domain_error);
}

// ---- weights ----------------------------------------------------------------------------------------------------

struct atom {
  format id;
  bytes blocks;
  std::uint32_t count;
};

std::vector<atom_weights> views_of(const std::vector<atom>& atoms) {
  std::vector<atom_weights> views;
  for (const atom& one : atoms) views.push_back({one.id, one.count, one.blocks});
  return views;
}

archive_chunk chunk_of(const std::vector<atom>& atoms) {
  no_interrupts none;
  return archive_weights(views_of(atoms), {}, none);
}

archived_weights read_weights(span<const std::byte> chunk) {
  no_interrupts none;
  return read_archived_weights(chunk, {}, plenty, none);
}

void expect_same(const archived_weights& read, const std::vector<atom>& atoms) {
  ASSERT_EQ(read.atoms.size(), atoms.size());
  for (std::size_t i = 0; i < atoms.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(read.atoms[i].id, atoms[i].id);
    EXPECT_EQ(read.atoms[i].count, atoms[i].count);
    EXPECT_EQ(bytes(read.atoms[i].blocks.begin(), read.atoms[i].blocks.end()), atoms[i].blocks);
  }
}

// The chunk, after it was read back on every instruction set; all write the same.
archive_chunk round_trip(const std::vector<atom>& atoms) {
  const archive_chunk chunk = chunk_of(atoms);
  for_each_target([&] {
    EXPECT_EQ(chunk_of(atoms), chunk);
    expect_same(read_weights(chunk), atoms);
  });
  return chunk;
}

atom f32_atom(const std::vector<float>& values) {
  return {format::F32, bytes_of_values(values), static_cast<std::uint32_t>(values.size())};
}

atom quantized_atom(format id, const std::vector<float>& values) {
  bytes blocks(bytes_of(id, values.size()));
  no_interrupts none;
  quantize(id, values, {}, blocks.data(), none);
  return {id, blocks, static_cast<std::uint32_t>(values.size())};
}

double ratio(const archive_chunk& chunk, const std::vector<atom>& atoms) {
  double raw = 0;
  for (const atom& one : atoms) raw += static_cast<double>(one.blocks.size());
  return static_cast<double>(chunk.size()) / raw;
}

TEST(ArchivedWeights, NormalWeightsTakeTheirEntropy) {
  const std::vector<float> weights = normal_weights(1 << 18);
  for (const auto& [id, most] : {std::pair{format::BF16, 0.67}, {format::F32, 0.84}, {format::F16, 0.86}}) {
    SCOPED_TRACE(traits_of(id).name);
    const std::vector<atom> atoms = {quantized_atom(id, weights)};
    EXPECT_LE(ratio(round_trip(atoms), atoms), most);
  }
}

TEST(ArchivedWeights, SlackIsFound) {
  std::vector<float> bf16 = normal_weights(1 << 18);
  std::vector<float> f16 = bf16;
  for (float& weight : bf16) weight = bf16_to_f32(f32_to_bf16(weight));
  for (float& weight : f16) weight = f16_to_f32(f32_to_f16(weight));
  const std::vector<atom> of_bf16 = {f32_atom(bf16)};
  EXPECT_LE(ratio(round_trip(of_bf16), of_bf16), 0.34);
  const std::vector<atom> of_f16 = {f32_atom(f16)};
  EXPECT_LE(ratio(round_trip(of_f16), of_f16), 0.43);
  // One weight that is not: in the last place of the last atom.
  std::vector<float> almost(100, 0.5F);
  almost.back() = std::nextafter(0.5F, 1.0F);
  round_trip({f32_atom(bf16), f32_atom(almost)});
  round_trip({f32_atom(f16), f32_atom(almost)});
}

TEST(ArchivedWeights, EveryHalf) {
  std::vector<std::uint16_t> all(1 << 16);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  const bytes raw = bytes_of_values(all);
  round_trip({{format::F16, raw, 1 << 16}, {format::BF16, raw, 1 << 16}});
  // As F32, NaNs that the other format would make quiet included.
  std::vector<std::uint32_t> upper(1 << 16);
  for (std::size_t i = 0; i < upper.size(); ++i) upper[i] = static_cast<std::uint32_t>(i << 16);
  round_trip({{format::F32, bytes_of_values(upper), 1 << 16}});
  std::vector<float> f16(1 << 16);
  for (std::size_t i = 0; i < f16.size(); ++i) f16[i] = f16_to_f32(static_cast<std::uint16_t>(i));
  round_trip({f32_atom(f16)});
}

TEST(ArchivedWeights, UglyNumbers) {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<std::uint32_t> bits = {0x7F800001, 0xFF812345, 0x7FC00000, 0xFFFFFFFF, 0x00000001, 0x80000001,
                                     0x007FFFFF, 0x80000000, 0x7F7FFFFF, 0x33000000, 0x477FF000, 0x7FA00000};
  const std::vector<float> floats = {0.0F, -0.0F, inf, -inf, std::numeric_limits<float>::denorm_min()};
  round_trip({{format::F32, bytes_of_values(bits), static_cast<std::uint32_t>(bits.size())}, f32_atom(floats)});
  for (const std::uint32_t one : bits) round_trip({{format::F32, bytes_of_values(std::vector{one}), 1}});
}

TEST(ArchivedWeights, AllFormatsTogether) {
  generator g(3);
  std::vector<atom> atoms;
  for (int turn = 0; turn < 3; ++turn) {
    for (const format_traits& traits : all_formats()) {
      const std::uint32_t count = traits.block_weights * static_cast<std::uint32_t>(g() % 5);
      bytes blocks(bytes_of(traits.id, count));
      for (std::byte& one : blocks) one = static_cast<std::byte>(g());
      atoms.push_back({traits.id, blocks, count});
    }
  }
  round_trip(atoms);
}

TEST(ArchivedWeights, AnyNumberOfThem) {
  round_trip({});
  round_trip({f32_atom({})});
  const std::vector<float> weights = normal_weights(300);
  for (std::size_t count = 1; count <= weights.size(); ++count) {
    const std::vector<float> some(weights.begin(), weights.begin() + static_cast<std::ptrdiff_t>(count));
    round_trip({f32_atom(some), quantized_atom(format::BF16, some), f32_atom(some), quantized_atom(format::F16, some)});
  }
}

TEST(ArchivedWeights, WrongNumberOfBytes) {
  EXPECT_EQ(state_of([] { chunk_of({{format::F32, bytes(7), 2}}); }), sqlstate::internal_error);
}

// ---- lineage ----------------------------------------------------------------------------------------------------

TEST(ArchivedWeights, WhatDescendsTakesItsDifference) {
  std::vector<float> weights = normal_weights(1 << 16);
  const std::vector<atom> parents = {f32_atom(weights), quantized_atom(format::Q4_K, weights), f32_atom({}),
                                     quantized_atom(format::BF16, weights), f32_atom({1.0F})};
  for (std::size_t i = 0; i < weights.size(); i += 1000) weights[i] += 0.01F;
  // The last two have other formats or lengths than their parents.
  const std::vector<atom> atoms = {f32_atom(weights), quantized_atom(format::Q4_K, weights), f32_atom({}),
                                   f32_atom({2.0F, 3.0F}), f32_atom({4.0F, 5.0F})};
  no_interrupts none;
  for_each_target([&] {
    const archive_chunk chunk = archive_weights(views_of(atoms), views_of(parents), none);
    EXPECT_LT(ratio(chunk, atoms), 0.05);
    expect_same(read_archived_weights(chunk, views_of(parents), plenty, none), atoms);
  });
}

TEST(ArchivedWeights, OnlyTheSameParentsWillDo) {
  const std::vector<float> weights = normal_weights(1000);
  std::vector<atom> parents = {f32_atom(weights), f32_atom({1.0F, 2.0F, 3.0F})};
  const std::vector<atom> atoms = {f32_atom(weights), f32_atom({1.0F, 2.0F, 4.0F})};
  no_interrupts none;
  const archive_chunk chunk = archive_weights(views_of(atoms), views_of(parents), none);
  const auto read = [&] { read_archived_weights(chunk, views_of(parents), plenty, none); };
  EXPECT_EQ(state_of(read), "none");
  EXPECT_EQ(state_of([&] { read_weights(chunk); }), sqlstate::invalid_parameter_value);
  parents[1].blocks[11] ^= std::byte{1};
  EXPECT_EQ(state_of(read), sqlstate::data_corrupted);
  parents.pop_back();
  EXPECT_EQ(state_of(read), sqlstate::invalid_parameter_value);
  EXPECT_EQ(state_of([&] { archive_weights(views_of(atoms), views_of(parents), none); }),
            sqlstate::invalid_parameter_value);
}

TEST(ArchivedWeights, StrangersAreWrittenAsTheyAre) {
  const std::vector<atom> atoms = {f32_atom(std::vector<float>(5000, 1.0F))};
  const std::vector<atom> strangers = {f32_atom(normal_weights(5000))};
  no_interrupts none;
  const archive_chunk chunk = archive_weights(views_of(atoms), views_of(strangers), none);
  EXPECT_EQ(chunk, chunk_of(atoms));
  expect_same(read_weights(chunk), atoms);
}

// ---- metadata ---------------------------------------------------------------------------------------------------

archived_integers integers_again(const std::vector<std::int64_t>& values, const std::vector<std::uint8_t>& present) {
  no_interrupts none;
  return read_archived_integers(archive_integers(values, present, none), plenty, none);
}

TEST(ArchivedIntegers, ComeBack) {
  constexpr std::int64_t low = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t high = std::numeric_limits<std::int64_t>::max();
  generator g(5);
  std::vector<std::int64_t> random(1000);
  for (auto& value : random) value = static_cast<std::int64_t>(g());
  for (const std::vector<std::int64_t>& values : {std::vector<std::int64_t>{},
                                                  {0},
                                                  {low},
                                                  {high},
                                                  {low, high, low, 0, -1, 1, high},
                                                  {127, 128, 255, 256},
                                                  random}) {
    const archived_integers read = integers_again(values, {});
    EXPECT_EQ(read.values, values);
    EXPECT_TRUE(read.present.empty());
  }
}

TEST(ArchivedIntegers, SequencesTakeNothing) {
  std::vector<std::int64_t> sequence(4096);
  for (std::size_t i = 0; i < sequence.size(); ++i) sequence[i] = static_cast<std::int64_t>(1000000 + i);
  no_interrupts none;
  EXPECT_LT(archive_integers(sequence, {}, none).size(), 64U);
}

TEST(ArchivedIntegers, SomeAreNull) {
  const archived_integers read = integers_again({0, 5, 0}, {0, 1, 0});
  EXPECT_EQ(read.values, (std::vector<std::int64_t>{0, 5, 0}));
  EXPECT_EQ(read.present, (std::vector<std::uint8_t>{0, 1, 0}));
  EXPECT_TRUE(integers_again({1, 2}, {1, 1}).present.empty());
}

TEST(ArchivedReals, ComeBackToTheBit) {
  std::vector<float> values = normal_weights(1001);
  values[3] = half_detail::float_of(0x7F812345);
  values[4] = -0.0F;
  no_interrupts none;
  const archived_reals read = read_archived_reals(archive_reals(values, {}, none), plenty, none);
  EXPECT_EQ(bytes_of_values(read.values), bytes_of_values(values));
  EXPECT_TRUE(read_archived_reals(archive_reals({}, {}, none), plenty, none).values.empty());
  const std::vector<float> two = {1.0F, 0.0F};
  const archived_reals nulls =
      read_archived_reals(archive_reals(two, std::vector<std::uint8_t>{1, 0}, none), plenty, none);
  EXPECT_EQ(nulls.values, two);
  EXPECT_EQ(nulls.present, (std::vector<std::uint8_t>{1, 0}));
}

TEST(ArchivedTexts, EachOnce) {
  using namespace std::string_view_literals;
  const std::vector<std::string_view> values = {"blk.0.attn_q.weight"sv, ""sv, "\0\xFF"sv, "blk.0.attn_q.weight"sv,
                                                ""sv};
  no_interrupts none;
  const archived_texts read =
      read_archived_texts(archive_texts(values, std::vector<std::uint8_t>{1, 1, 1, 1, 0}, none), plenty, none);
  EXPECT_EQ(read.distinct, (std::vector<std::string_view>{values[0], values[1], values[2]}));
  EXPECT_EQ(read.index, (std::vector<std::uint32_t>{0, 1, 2, 0, 0}));
  EXPECT_EQ(read.present, (std::vector<std::uint8_t>{1, 1, 1, 1, 0}));
  const archived_texts empty = read_archived_texts(archive_texts({}, {}, none), plenty, none);
  EXPECT_TRUE(empty.distinct.empty() && empty.index.empty());
  const std::vector<std::string_view> missing(3);
  const archived_texts nulls =
      read_archived_texts(archive_texts(missing, std::vector<std::uint8_t>(3), none), plenty, none);
  EXPECT_TRUE(nulls.distinct.empty());
  EXPECT_EQ(nulls.index, std::vector<std::uint32_t>(3));
  const std::vector<std::string_view> same(100000, "blk.0.attn_q.weight"sv);
  EXPECT_LT(archive_texts(same, {}, none).size(), 100U);
}

// ---- what is not a chunk ------------------------------------------------------------------------------------------

std::string reading_fails(span<const std::byte> chunk) {
  return state_of([&] { read_weights(chunk); });
}

TEST(ArchiveChunk, DamageIsFound) {
  const std::vector<atom> atoms = {f32_atom(normal_weights(500)), quantized_atom(format::Q8_0, normal_weights(64))};
  const archive_chunk chunk = chunk_of(atoms);
  for (std::size_t i = 0; i < chunk.size(); ++i) {
    SCOPED_TRACE(i);
    archive_chunk damaged = chunk;
    damaged[i] ^= std::byte{0x10};
    // Few bits of a frame mean nothing.
    if (reading_fails(damaged) == "none") expect_same(read_weights(damaged), atoms);
  }
  for (std::size_t size = 0; size < chunk.size(); ++size) {
    EXPECT_EQ(reading_fails({chunk.data(), size}), sqlstate::data_corrupted) << size;
  }
  archive_chunk longer = chunk;
  longer.push_back(std::byte{0});
  EXPECT_EQ(reading_fails(longer), sqlstate::data_corrupted);
}

TEST(ArchiveChunk, KindAndVersion) {
  no_interrupts none;
  const archive_chunk chunk = chunk_of({f32_atom({1.0F})});
  EXPECT_EQ(state_of([&] { read_archived_reals(chunk, plenty, none); }), sqlstate::data_corrupted);
  archive_chunk relabeled = chunk;  // the kind is under the checksum, too
  relabeled[3] = std::byte{2};
  EXPECT_EQ(state_of([&] { read_archived_reals(relabeled, plenty, none); }), sqlstate::data_corrupted);
  archive_chunk later = chunk;
  later[2] = std::byte{2};
  EXPECT_EQ(reading_fails(later), sqlstate::feature_not_supported);
}

TEST(ArchiveChunk, SizesAreLimited) {
  no_interrupts none;
  // A megabyte that takes a few bytes.
  const archive_chunk chunk = chunk_of({f32_atom(std::vector<float>(1 << 18))});
  EXPECT_LT(chunk.size(), 1000U);
  EXPECT_EQ(state_of([&] { read_archived_weights(chunk, {}, 1000, none); }), sqlstate::program_limit_exceeded);
  EXPECT_EQ(state_of([&] { read_archived_weights(chunk, {}, (1 << 20) + 1000, none); }), "none");
  const std::vector<std::int64_t> many(most_archived_values + 1);
  EXPECT_EQ(state_of([&] { archive_integers(many, {}, none); }), sqlstate::program_limit_exceeded);
}

// Contents with a checksum that is right, as no writer makes them.
archive_chunk forged(archive::column_kind kind, const std::vector<unsigned>& contents) {
  bytes raw;
  for (const unsigned one : contents) raw.push_back(static_cast<std::byte>(one));
  no_interrupts none;
  return archive::compress_contents(kind, raw, {}, none);
}

TEST(ArchiveChunk, ForgedContents) {
  using archive::column_kind;
  no_interrupts none;
  const auto weights = [&](const std::vector<unsigned>& contents) {
    return reading_fails(forged(column_kind::weights, contents));
  };
  EXPECT_EQ(weights({4, 0, 0, 0, 0, 1, 1, 0}), "none");
  EXPECT_EQ(weights({}), sqlstate::data_corrupted);
  EXPECT_EQ(weights({2, 0, 0, 0, 0, 1, 1, 0}), sqlstate::data_corrupted);                // another kind
  EXPECT_EQ(weights({4, 0, 0, 0, 0, 1, 1, 0, 0}), sqlstate::data_corrupted);             // more than it says
  EXPECT_EQ(weights({4, 0, 0, 0, 0, 1, 1, 2}), sqlstate::data_corrupted);                // descends neither nor not
  EXPECT_EQ(weights({4, 0, 0, 0, 0, 1, 1, 1}), sqlstate::data_corrupted);                // no hash of parents
  EXPECT_EQ(weights({4, 0, 0, 0, 2, 1, 1}), sqlstate::data_corrupted);                   // too many values
  EXPECT_EQ(weights({4, 1, 0, 0, 0, 0}), sqlstate::data_corrupted);                      // width 0
  EXPECT_EQ(weights({4, 1, 0, 0, 0, 9, 0}), sqlstate::data_corrupted);                   // width 9
  EXPECT_EQ(weights({4, 1, 0, 0, 0, 1, 200, 1, 2, 0, 0, 7}), sqlstate::data_corrupted);  // format 100
  EXPECT_EQ(weights({4, 1, 0, 0, 0, 1, 1, 1, 2, 0, 0, 7}), sqlstate::data_corrupted);    // format -1
  EXPECT_EQ(weights({4, 1, 0, 0, 0, 1, 0, 1, 1, 0, 0, 7}), sqlstate::data_corrupted);    // count -1
  EXPECT_EQ(weights({4, 1, 0, 0, 0, 1, 0, 4, 254, 255, 255, 255, 0, 0}),
            sqlstate::data_corrupted);  // 8 GB that are not there
  EXPECT_EQ(weights({4, 1, 0, 0, 0, 1, 0, 1, 2, 0, 9, 1, 2, 3, 4}), sqlstate::data_corrupted);  // layout 9
  EXPECT_EQ(weights({4, 1, 0, 0, 0, 1, 48, 1, 2, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8}),
            sqlstate::data_corrupted);  // planes of I8
  EXPECT_EQ(weights({4, 1, 0, 0, 0, 1, 0, 1, 2, 0, 0, 1, 2, 3, 4}), "none");

  const auto texts = [&](const std::vector<unsigned>& contents) {
    return state_of([&] { read_archived_texts(forged(column_kind::texts, contents), plenty, none); });
  };
  EXPECT_EQ(texts({3, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 65, 1, 0}), "none");
  EXPECT_EQ(texts({3, 1, 0, 0, 0, 2, 1, 0, 0, 0, 1, 2, 65, 1, 0}), sqlstate::data_corrupted);  // NULL or not
  EXPECT_EQ(texts({3, 1, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 1, 0}), sqlstate::data_corrupted);   // two of one
  EXPECT_EQ(texts({3, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 65, 1, 0}), sqlstate::data_corrupted);  // length -1
  EXPECT_EQ(texts({3, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 65, 1, 2}), sqlstate::data_corrupted);  // text 1 of 1
  EXPECT_EQ(texts({3, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 65, 1, 1}), sqlstate::data_corrupted);  // text -1
  EXPECT_EQ(texts({3, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 2}), "none");                        // nothing but NULL
}

TEST(ArchiveChunk, InterruptsAreChecked) {
  const std::vector<atom> atoms = {f32_atom(normal_weights(1 << 20))};
  const std::vector<atom_weights> views = views_of(atoms);
  countdown count;
  const archive_chunk chunk = archive_weights(views, {}, count);
  EXPECT_GE(count.checks(), 4);
  countdown stop(3);
  EXPECT_THROW(archive_weights(views, {}, stop), std::domain_error);
  countdown stop_reading(2);
  EXPECT_THROW(read_archived_weights(chunk, {}, plenty, stop_reading), std::domain_error);

  // What was stopped leaves nothing to those who come after it.
  no_interrupts none;
  EXPECT_EQ(archive_weights(views, {}, none), chunk);
  expect_same(read_weights(chunk), atoms);
}

TEST(ArchiveChunk, IsTheSameWhateverCameBefore) {
  std::vector<archive_chunk> first;
  std::vector<archive_chunk> again;
  const std::vector<std::size_t> sizes = {1, 70, 5000, 40000, 1 << 19};
  for (const std::size_t size : sizes) first.push_back(chunk_of({f32_atom(normal_weights(size))}));
  for (std::size_t i = sizes.size(); i-- > 0;) {
    again.insert(again.begin(), chunk_of({f32_atom(normal_weights(sizes[i]))}));
    chunk_of({quantized_atom(format::Q8_0, normal_weights(3200))});
  }
  EXPECT_EQ(first, again);
}

TEST(ArchiveChunk, LargerThanAStep) {
  const std::vector<atom> atoms = {f32_atom(std::vector<float>(5 << 20, 0.1F))};
  const archive_chunk chunk = chunk_of(atoms);
  countdown stop(2);
  EXPECT_THROW(read_archived_weights(chunk, {}, plenty, stop), std::domain_error);
  expect_same(read_weights(chunk), atoms);
}

}  // namespace
}  // namespace hartonomous
