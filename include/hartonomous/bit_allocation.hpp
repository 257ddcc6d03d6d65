// Allocation of bits: chooses for each tensor of a model one of several formats, so that the sum of costs (such as the
// expected loss of accuracy) is as small as possible and the sum of bytes does not exceed a budget. This is the
// multiple-choice knapsack problem.
//
// Sources: Sinha and Zoltners 1979 for the linear relaxation, whose solution is a greedy one; Dudzinski and Walukiewicz
// 1987 for the dynamic program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

struct allocation_option {
  std::uint64_t bytes = 0;
  double cost = 0.0;  // finite; only sums of costs matter
};

struct bit_allocation {
  std::vector<std::size_t> chosen;  // for each tensor, the number of its option
  std::uint64_t bytes = 0;
  double cost = 0.0;
  double lower_bound = 0.0;  // no allocation within the budget costs less
  bool exact = false;        // none costs less than this one
};

// `options` has at least one option for each tensor. The result is exact if a table of `memory` bytes and about 2^30
// steps suffice for the dynamic program in units of the greatest common divisor of all differences in bytes. Otherwise
// the program is run in coarser units, for which sizes are rounded up, and the bytes that remain are spent greedily. It
// is the same on every machine; of options that cost the same, the smallest is taken.
//
// Errors: 22023 if the budget is below the bytes of the smallest options, if a tensor has none or more than 256
// options, or if a cost is not finite; 54000 if the sum of all bytes exceeds 62 bits.
bit_allocation allocate_bits(span<const std::vector<allocation_option>> options, std::uint64_t budget,
                             std::uint64_t memory, interrupt_checker& interrupts);

}  // namespace hartonomous
