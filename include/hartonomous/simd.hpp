// Which vector instructions the core uses.
//
// Vector code is compiled once for each instruction set (by Google Highway), and the best one that the processor
// supports is chosen at run time, so one build runs everywhere at full speed. All give the same bits.
#pragma once

#include <cstdint>
#include <vector>

namespace hartonomous {

// The instruction set in use, under Highway's name: "SSSE3", "SSE4", "AVX2", "AVX3" (AVX-512), "NEON", "SVE"; "EMU128"
// is portable code.
const char* simd_target() noexcept;

// ---- for tests and benchmarks ----------------------------------------------------------------------------------

// The instruction sets that are compiled in and that this processor supports, best first. simd_target_name() gives
// their names.
std::vector<std::int64_t> simd_targets();
const char* simd_target_name(std::int64_t target) noexcept;

// Makes the whole process use one of them while the object lives.
class forced_simd_target {
 public:
  explicit forced_simd_target(std::int64_t target);
  ~forced_simd_target();
  forced_simd_target(const forced_simd_target&) = delete;
  forced_simd_target& operator=(const forced_simd_target&) = delete;
};

}  // namespace hartonomous
