// Which atoms take part in a text, against the definition.
#include "hartonomous/usage.hpp"

#include <gtest/gtest.h>

#include <cstdint>

#include "gguf_tensors.hpp"

namespace hartonomous {
namespace {

TEST(Usage, EnergiesFollowTheDefinition) {
  // 2 x 5, in atoms of 3 and 2.
  usage_meter meter([](const std::string&) { return atom_layout{2, 5, 3}; });
  const float weights[] = {1, 2, 3, 4, 5, -1, 0, 1, 2, -2};
  const float x[] = {1, 1, 1, 1, 1, 2, 0, 0, 0, 3};  // two tokens
  meter.input("w", {0, 2}, x, 2, 5);
  meter.rows("w", 0, 1, weights, 5);
  meter.rows("w", 1, 1, weights + 5, 5);
  const auto& usage = meter.tensors().at("w");
  // Energies of the columns: 5 1 1 1 10.
  EXPECT_EQ(usage.energies, (std::vector<double>{5 + 4 + 9, 16 + 250, 5 + 0 + 1, 4 + 40}));
  EXPECT_EQ(usage.tokens, (std::vector<std::uint64_t>{2, 2, 2, 2}));
  meter.lookups("w", 1, 3, weights + 5, 5);
  EXPECT_EQ(usage.energies, (std::vector<double>{18, 266, 6 + 3 * 2, 44 + 3 * 8}));
  EXPECT_EQ(usage.tokens, (std::vector<std::uint64_t>{2, 2, 5, 5}));
}

// An atom of rows has the energy of all of them, and took part in a token once. Rows come in any portions.
TEST(Usage, AddsUpTheRowsOfAnAtom) {
  usage_meter meter([](const std::string&) { return atom_layout{3, 2, 5}; });
  const std::vector<float> x = {1, 2, 3, 4};  // two tokens: the columns have energies 10 and 20
  meter.input("m", {0, 3}, x.data(), 2, 2);
  const std::vector<float> w = {1, 0, 0, 1, 2, 1};
  meter.rows("m", 0, 1, w.data(), 2);
  meter.rows("m", 1, 2, w.data() + 2, 2);
  meter.lookups("e", 1, 4, w.data(), 2);
  const auto& m = meter.tensors().at("m");
  EXPECT_EQ(m.energies, (std::vector<double>{30, 60}));
  EXPECT_EQ(m.tokens, (std::vector<std::uint64_t>{2, 2}));
  const auto& e = meter.tensors().at("e");
  EXPECT_EQ(e.energies, (std::vector<double>{4, 0}));
  EXPECT_EQ(e.tokens, (std::vector<std::uint64_t>{4, 0}));
}

TEST(Usage, SeesEveryMatrixAndEveryToken) {
  network_test::gguf_tensors tensors(std::string(HARTONOMOUS_TEST_DIR) + "/golden/random-qwen3.gguf");
  no_interrupts none;
  transformer network(read_hyperparameters(tensors.metadata()), tensors, 2, 1, none);
  usage_meter meter([&](const std::string& name) {
    const matrix_shape shape = *tensors.find(name);
    return atom_layout{shape.rows, shape.columns, 7};
  });
  network.observe(&meter);
  const std::vector<token_id> tokens = {1, 5, 5, 9};
  const token_sequence sequence = {tokens};
  const std::vector<float> states = network.run({&sequence, 1});
  const std::size_t last = 3;
  const std::vector<float> normed = network.normed(states, {&last, 1});
  logit_reader reader(network, normed.data(), 1);
  while (reader.next()) {
  }
  for (const auto& [name, m] : tensors.matrices()) {
    if (m.shape.rows == 1) continue;
    ASSERT_EQ(meter.tensors().count(name), 1u) << name;
    const auto& usage = meter.tensors().at(name);
    const std::uint64_t expected = name == "output.weight" ? 1 : 4;
    for (std::size_t atom = 0; atom < usage.tokens.size(); ++atom) {
      const std::uint64_t row = usage.layout.row_of(atom);
      const std::uint64_t looked_up = row == 5 ? 2 : row == 1 || row == 9 ? 1 : 0;
      EXPECT_EQ(usage.tokens[atom], name == "token_embd.weight" ? looked_up : expected) << name;
      EXPECT_EQ(usage.energies[atom] > 0.0, usage.tokens[atom] > 0) << name;
    }
  }
}

}  // namespace
}  // namespace hartonomous
