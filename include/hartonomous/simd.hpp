// Which vector instructions the core uses.
//
// Vector code is compiled once for each instruction set (by Google Highway) and the best one the processor has is
// taken at run time, so one build runs everywhere at full speed. All give the same bits.
#pragma once

#include <cstdint>
#include <vector>

namespace hartonomous {

// The instruction set in use, as Highway names it: "SSSE3", "SSE4", "AVX2", "AVX3" (AVX-512), "NEON", "SVE"; "EMU128"
// is portable code.
const char* simd_target() noexcept;

// ---- for tests and benchmarks ----------------------------------------------------------------------------------

// All that are compiled in and that this processor has, best first; as numbers that simd_target_name() names.
std::vector<std::int64_t> simd_targets();
const char* simd_target_name(std::int64_t target) noexcept;

// Uses one of them, in the whole process, for as long as the object lives.
class forced_simd_target {
 public:
  explicit forced_simd_target(std::int64_t target);
  ~forced_simd_target();
  forced_simd_target(const forced_simd_target&) = delete;
  forced_simd_target& operator=(const forced_simd_target&) = delete;
};

}  // namespace hartonomous
