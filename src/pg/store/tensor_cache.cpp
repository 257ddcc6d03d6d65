// The tensors cached by the session: a list in a memory context of its own (tensor_cache.hpp).
#include "pg/store/tensor_cache.hpp"

#include <cstdint>

#include "pg/base/guc.hpp"
#include "pg/base/memory.hpp"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace hartonomous::pg {
namespace {

struct kept_tensor {
  tensor_key key;
  std::uint64_t bytes;
  std::uint64_t last_call;
  bool complete;
  kept_tensor* next;
  float* values;
};

// Plain data, so that nothing has to be destroyed when the backend exits.
MemoryContext context = nullptr;
kept_tensor* first = nullptr;
std::uint64_t kept_bytes = 0;
std::uint64_t call_number = 0;

std::uint64_t limit() noexcept { return static_cast<std::uint64_t>(current_settings.model_cache_kb) * 1024; }

std::uint64_t bytes_of(const atom_layout& layout, std::uint64_t rows) noexcept {
  return rows * layout.row_length * sizeof(float);
}

bool same(const tensor_key& a, const tensor_key& b) noexcept {
  return a.layer == b.layer && a.layout.rows == b.layout.rows && a.layout.row_length == b.layout.row_length &&
         a.layout.atom_size == b.layout.atom_size && a.rows.first == b.rows.first && a.rows.count == b.rows.count &&
         a.state.atoms == b.state.atoms && a.state.versions == b.state.versions;
}

kept_tensor* lookup(const tensor_key& key) noexcept {
  for (kept_tensor* e = first; e != nullptr; e = e->next) {
    if (same(e->key, key)) return e;
  }
  return nullptr;
}

void drop(kept_tensor* gone) noexcept {
  kept_tensor** at = &first;
  while (*at != gone) at = &(*at)->next;
  *at = gone->next;
  kept_bytes -= gone->bytes;
  pfree(gone->values);
  pfree(gone);
}

// The least recently used tensor, except for those of the current call unless of_this_call_too.
kept_tensor* oldest(bool of_this_call_too) noexcept {
  kept_tensor* found = nullptr;
  for (kept_tensor* e = first; e != nullptr; e = e->next) {
    if (!of_this_call_too && e->last_call == call_number) continue;
    if (found == nullptr || e->last_call < found->last_call) found = e;
  }
  return found;
}

}  // namespace

void tensor_cache::begin_call() noexcept {
  ++call_number;
  // Remove what a failed call had reserved.
  for (kept_tensor *e = first, *next; e != nullptr; e = next) {
    next = e->next;
    if (!e->complete) drop(e);
  }
}

bool tensor_cache::may_hold(const atom_layout& layout, std::uint64_t rows) noexcept {
  const std::uint64_t bytes = bytes_of(layout, rows);
  return bytes > 0 && bytes <= limit();
}

const float* tensor_cache::find(const tensor_key& key) noexcept {
  kept_tensor* e = lookup(key);
  if (e == nullptr || !e->complete) return nullptr;
  e->last_call = call_number;
  return e->values;
}

float* tensor_cache::reserve(const tensor_key& key) {
  if (!may_hold(key.layout, key.rows.count) || lookup(key) != nullptr) return nullptr;
  const std::uint64_t bytes = bytes_of(key.layout, key.rows.count);
  while (kept_bytes + bytes > limit()) {
    kept_tensor* gone = oldest(false);
    if (gone == nullptr) return nullptr;
    drop(gone);
  }
  if (context == nullptr) {
    context = call([] { return AllocSetContextCreate(TopMemoryContext, "hartonomous tensors", ALLOCSET_SMALL_SIZES); });
  }
  constexpr int may_fail = MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM;
  auto* e = static_cast<kept_tensor*>(MemoryContextAllocExtended(context, sizeof(kept_tensor), may_fail));
  if (e == nullptr) return nullptr;
  auto* values = static_cast<float*>(MemoryContextAllocExtended(context, bytes, may_fail));
  if (values == nullptr) {
    pfree(e);
    return nullptr;
  }
  *e = {key, bytes, call_number, false, first, values};
  first = e;
  kept_bytes += bytes;
  return values;
}

void tensor_cache::complete(const tensor_key& key) noexcept {
  kept_tensor* e = lookup(key);
  if (e != nullptr) e->complete = true;
}

std::uint64_t tensor_cache::shrink(std::uint64_t bytes) noexcept {
  const std::uint64_t before = kept_bytes;
  while (kept_bytes > bytes) drop(oldest(true));
#ifdef __GLIBC__
  if (kept_bytes < before) malloc_trim(0);  // return it to the operating system, not only to the allocator
#endif
  return before - kept_bytes;
}

std::uint64_t tensor_cache::bytes() noexcept { return kept_bytes; }

}  // namespace hartonomous::pg
