// The multiple-choice knapsack (hartonomous/bit_allocation.hpp).
#include "hartonomous/bit_allocation.hpp"

#include "hartonomous/error.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

namespace hartonomous {
namespace {

constexpr std::size_t most_options = 256;  // so that a choice is one byte
constexpr double most_steps = 1 << 30;
constexpr std::uint64_t most_states = std::uint64_t{1} << 22;

// An option that no other one makes useless. Sizes count from the smallest option of the tensor.
struct candidate {
  std::uint64_t bytes;
  double cost;
  std::size_t option;
};

// The candidates of a tensor: ascending in bytes, descending in cost.
using candidate_list = std::vector<candidate>;

candidate_list useful_options(const std::vector<allocation_option>& options) {
  candidate_list all;
  for (std::size_t i = 0; i < options.size(); ++i) all.push_back({options[i].bytes, options[i].cost, i});
  std::stable_sort(all.begin(), all.end(), [](const candidate& a, const candidate& b) {
    return a.bytes != b.bytes ? a.bytes < b.bytes : a.cost < b.cost;
  });
  candidate_list useful;
  for (const candidate& c : all) {
    if (useful.empty() || c.cost < useful.back().cost) useful.push_back(c);
  }
  const std::uint64_t smallest = useful[0].bytes;
  for (candidate& c : useful) c.bytes -= smallest;
  return useful;
}

// Checks the input; returns the bytes of the smallest options.
std::uint64_t check_options(span<const std::vector<allocation_option>> options, std::uint64_t budget) {
  constexpr std::uint64_t most = std::uint64_t{1} << 62;
  std::uint64_t smallest = 0, largest = 0;
  for (const std::vector<allocation_option>& of_tensor : options) {
    if (of_tensor.empty() || of_tensor.size() > most_options) {
      throw error(sqlstate::invalid_parameter_value, "a tensor has " + std::to_string(of_tensor.size()) +
                                                         " formats to choose from, not 1 to " +
                                                         std::to_string(most_options));
    }
    std::uint64_t low = most, high = 0;
    for (const allocation_option& o : of_tensor) {
      if (!std::isfinite(o.cost)) throw error(sqlstate::invalid_parameter_value, "the cost of a format is not finite");
      low = std::min(low, o.bytes);
      high = std::max(high, o.bytes);
    }
    if (high >= most - largest) throw error(sqlstate::program_limit_exceeded, "the tensors have too many bytes");
    smallest += low;
    largest += high;
  }
  if (smallest > budget) {
    throw error(sqlstate::invalid_parameter_value,
                "no formats are small enough for " + std::to_string(budget) + " bytes",
                "The smallest ones take " + std::to_string(smallest) + " bytes.");
  }
  return smallest;
}

class knapsack {
 public:
  knapsack(span<const std::vector<allocation_option>> options, std::uint64_t budget, std::uint64_t memory,
           interrupt_checker& interrupts)
      : room_(budget - check_options(options, budget)), memory_(memory), interrupts_(interrupts) {
    for (const std::vector<allocation_option>& of_tensor : options) {
      tensors_.push_back(useful_options(of_tensor));
      count_ += tensors_.back().size();
      most_ += tensors_.back().back().bytes;
      for (const candidate& c : tensors_.back()) unit_ = std::gcd(unit_, c.bytes);
    }
    unit_ = std::max<std::uint64_t>(1, unit_);
    room_ = std::min(room_, most_);
  }

  bit_allocation solve(span<const std::vector<allocation_option>> options) {
    std::vector<std::size_t> best = greedy(std::vector<std::size_t>(tensors_.size(), 0), room_, &lower_bound_);
    const std::uint64_t unit = affordable_unit();
    std::vector<std::size_t> other = dynamic_program(unit);
    other = greedy(other, room_ - bytes_of(other), nullptr);
    if (cost_of(other) <= cost_of(best)) best = other;

    bit_allocation found;
    found.exact = unit == unit_;
    for (std::size_t t = 0; t < tensors_.size(); ++t) {
      found.chosen.push_back(tensors_[t][best[t]].option);
      found.bytes += options[t][found.chosen.back()].bytes;
      found.cost += options[t][found.chosen.back()].cost;
    }
    found.lower_bound = found.exact ? found.cost : std::min(lower_bound_, found.cost);
    return found;
  }

 private:
  struct step {
    double gain;  // cost saved per byte
    std::size_t tensor, from, to;
  };

  std::uint64_t bytes_of(const std::vector<std::size_t>& choice) const {
    std::uint64_t sum = 0;
    for (std::size_t t = 0; t < tensors_.size(); ++t) sum += tensors_[t][choice[t]].bytes;
    return sum;
  }
  double cost_of(const std::vector<std::size_t>& choice) const {
    double sum = 0.0;
    for (std::size_t t = 0; t < tensors_.size(); ++t) sum += tensors_[t][choice[t]].cost;
    return sum;
  }

  // The steps of one tensor along the lower convex hull of (bytes, cost), from a candidate on: each saves less per byte
  // than the one before.
  void add_steps(std::size_t tensor, std::size_t from, std::vector<step>& steps) const {
    const candidate_list& c = tensors_[tensor];
    while (from + 1 < c.size()) {
      step best = {-1.0, tensor, from, from};
      for (std::size_t to = from + 1; to < c.size(); ++to) {
        const double gain = (c[from].cost - c[to].cost) / static_cast<double>(c[to].bytes - c[from].bytes);
        if (gain >= best.gain) best = {gain, tensor, from, to};
      }
      steps.push_back(best);
      from = best.to;
    }
  }

  // Takes the steps that save most per byte while there is room. The cost after the part of the first one that does not
  // fit is the optimum of the linear relaxation, which is a lower bound if `choice` is the smallest one.
  std::vector<std::size_t> greedy(std::vector<std::size_t> choice, std::uint64_t room, double* bound) const {
    std::vector<step> steps;
    for (std::size_t t = 0; t < tensors_.size(); ++t) add_steps(t, choice[t], steps);
    std::stable_sort(steps.begin(), steps.end(), [](const step& a, const step& b) { return a.gain > b.gain; });
    double cost = cost_of(choice);
    bool fits = true;
    for (const step& s : steps) {
      const candidate &from = tensors_[s.tensor][s.from], &to = tensors_[s.tensor][s.to];
      const std::uint64_t bytes = to.bytes - from.bytes;
      if (fits && bytes > room && bound != nullptr) *bound = cost - s.gain * static_cast<double>(room);
      fits = fits && bytes <= room;
      // A later step of a tensor needs the earlier one.
      if (choice[s.tensor] != s.from || bytes > room) continue;
      choice[s.tensor] = s.to;
      room -= bytes;
      cost -= from.cost - to.cost;
    }
    if (fits && bound != nullptr) *bound = cost;
    return choice;
  }

  // The smallest multiple of the unit for which the table fits into memory and the time is bounded.
  std::uint64_t affordable_unit() const {
    const double by_time = most_steps / static_cast<double>(std::max<std::size_t>(1, count_));
    const std::uint64_t by_memory = memory_ / (tensors_.size() + 2 * sizeof(double));
    const std::uint64_t states =
        std::max<std::uint64_t>(2, std::min({most_states, by_memory, static_cast<std::uint64_t>(by_time)}));
    const std::uint64_t units = room_ / unit_;
    return unit_ * (units < states ? 1 : units / (states - 1) + 1);
  }

  // cost[r] is the least cost of the tensors so far within r units, and taken[t][r] what is chosen for tensor t then.
  // Sizes are rounded up to whole units.
  std::vector<std::size_t> dynamic_program(std::uint64_t unit) {
    const std::size_t states = static_cast<std::size_t>(room_ / unit) + 1;
    std::vector<double> cost(states, 0.0), next(states);
    std::vector<std::vector<std::uint8_t>> taken;
    for (const candidate_list& c : tensors_) {
      taken.emplace_back(states, std::uint8_t{0});
      for (std::size_t r = 0; r < states; ++r) next[r] = cost[r] + c[0].cost;
      for (std::size_t i = 1; i < c.size(); ++i) {
        interrupts_.check();
        const std::uint64_t size = (c[i].bytes + unit - 1) / unit;
        for (std::size_t r = size; r < states; ++r) {
          const double with = cost[r - size] + c[i].cost;
          if (with < next[r]) {
            next[r] = with;
            taken.back()[r] = static_cast<std::uint8_t>(i);
          }
        }
      }
      cost.swap(next);
    }
    std::vector<std::size_t> choice(tensors_.size());
    std::size_t r = states - 1;
    for (std::size_t t = tensors_.size(); t-- > 0;) {
      choice[t] = taken[t][r];
      r -= static_cast<std::size_t>((tensors_[t][choice[t]].bytes + unit - 1) / unit);
    }
    return choice;
  }

  std::vector<candidate_list> tensors_;
  std::size_t count_ = 0;          // of candidates
  std::uint64_t room_, most_ = 0;  // bytes beyond those of the smallest options
  std::uint64_t unit_ = 0;         // divides all sizes
  std::uint64_t memory_;
  double lower_bound_ = 0.0;
  interrupt_checker& interrupts_;
};

}  // namespace

bit_allocation allocate_bits(span<const std::vector<allocation_option>> options, std::uint64_t budget,
                             std::uint64_t memory, interrupt_checker& interrupts) {
  return knapsack(options, budget, memory, interrupts).solve(options);
}

}  // namespace hartonomous
