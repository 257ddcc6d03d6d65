// How the sums of a step are divided into passes over the text, and which states are kept for gradients (inside
// src/core/calibration only).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "calibration/input_meter.hpp"
#include "hartonomous/calibration.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous::calibration_detail {

[[noreturn]] void refuse_memory(const std::string& what, std::uint64_t needed, std::uint64_t memory,
                                const std::string& instead, source_location thrown = source_location::current());

// The panels of the Gram matrices of the step, pass after pass. Error 53200 if a single one needs more than `room`.
std::vector<std::vector<panel_job>> plan_passes(span<const linear_input> inputs, std::uint64_t room,
                                                std::uint64_t memory);
// What is left of `memory` for sums, with `besides` taken by other things.
std::uint64_t room_for_sums(span<const linear_input> inputs, std::uint64_t besides, std::uint64_t memory);
// The multiplications of the sums. All experts together see each token `experts_used` times.
double sum_multiplications(span<const linear_input> inputs, std::size_t tokens, std::uint32_t experts_used);

// Hands out the panels of a pass that has ended.
void for_triangles(transformer& network, const input_meter& meter, span<const panel_job> pass,
                   const std::function<void(const gram_panel&)>& take);

// The states before every `spacing`-th block are kept, and those before the blocks between two of these while gradients
// go through them: the most that there are, besides the state itself, and the blocks that are run again before
// gradients reach the end of `block`.
std::uint32_t kept_streams(std::uint32_t blocks, std::uint32_t spacing) noexcept;
std::uint32_t recomputed_blocks(std::uint32_t blocks, std::uint32_t spacing, std::uint32_t block) noexcept;

// While it lives, a network has an observer and a watcher.
class watched_network {
 public:
  watched_network(transformer& network, linear_observer* observer, const std::function<void(double)>& watcher)
      : network_(network) {
    network_.observe(observer);
    network_.watch(watcher);
  }
  watched_network(const watched_network&) = delete;
  watched_network& operator=(const watched_network&) = delete;
  ~watched_network() {
    network_.observe(nullptr);
    network_.watch({});
  }

 private:
  transformer& network_;
};

}  // namespace hartonomous::calibration_detail
