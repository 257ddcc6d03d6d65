// The frame around the contents of a chunk (contents.hpp): compression and checksum by libzstd.
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <memory>
#include <new>
#include <string>

#include "archive/contents.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous::archive {
namespace {

constexpr std::size_t head_bytes = 4;
constexpr unsigned char version = 1;
constexpr std::size_t step = std::size_t{1} << 20;  // bytes between checks for interrupts
// The same of reading, which takes some 10 ms. Contents of this size are decompressed where they are to stay, larger
// ones in the window of libzstd, from where they are copied.
constexpr std::size_t read_step = std::size_t{16} << 20;
constexpr int window_log = 17;  // the largest block of zstd: matches play no part

struct free_contexts {
  void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
};
using compressor = std::unique_ptr<ZSTD_CCtx, free_contexts>;
using decompressor = std::unique_ptr<ZSTD_DCtx, free_contexts>;

std::size_t checked(std::size_t result, const char* state) {
  if (ZSTD_isError(result) == 0) return result;
  if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) throw std::bad_alloc();
  throw error(state, state == sqlstate::data_corrupted ? "damaged chunk of an archive" : "libzstd failed",
              std::string("libzstd: ") + ZSTD_getErrorName(result) + ".");
}

compressor make_compressor() {
  compressor context(ZSTD_createCCtx());
  if (context == nullptr) throw std::bad_alloc();
  const struct {
    ZSTD_cParameter parameter;
    int value;
  } settings[] = {{ZSTD_c_strategy, ZSTD_fast}, {ZSTD_c_windowLog, window_log}, {ZSTD_c_hashLog, 6},
                  {ZSTD_c_minMatch, 7},         {ZSTD_c_checksumFlag, 1},       {ZSTD_c_contentSizeFlag, 1}};
  for (const auto& setting : settings) {
    checked(ZSTD_CCtx_setParameter(context.get(), setting.parameter, setting.value), sqlstate::internal_error);
  }
  return context;
}

decompressor make_decompressor() {
  decompressor context(ZSTD_createDCtx());
  if (context == nullptr) throw std::bad_alloc();
  checked(ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, window_log), sqlstate::internal_error);
  return context;
}

// Contexts are kept for the next chunk, because making one takes as long as coding a small one. Each takes less than 1
// MiB, and what an error has left in them is reset.
ZSTD_CCtx* compressor_of(std::size_t size) {
  thread_local const compressor context = make_compressor();
  checked(ZSTD_CCtx_reset(context.get(), ZSTD_reset_session_only), sqlstate::internal_error);
  checked(ZSTD_CCtx_setPledgedSrcSize(context.get(), size), sqlstate::internal_error);
  return context.get();
}

ZSTD_DCtx* reset_decompressor() {
  thread_local const decompressor context = make_decompressor();
  checked(ZSTD_DCtx_reset(context.get(), ZSTD_reset_session_only), sqlstate::internal_error);
  return context.get();
}

// Contents of one part, up to `step` bytes a call; `end` closes a block, or the frame.
void compress_part(ZSTD_CCtx* context, span<const std::byte> part, ZSTD_EndDirective end, ZSTD_outBuffer& to,
                   interrupt_checker& interrupts) {
  std::size_t at = 0;
  do {
    interrupts.check();
    const std::size_t now = std::min(step, part.size() - at);
    ZSTD_inBuffer from = {part.data() + at, now, 0};
    at += now;
    const ZSTD_EndDirective directive = at == part.size() ? end : ZSTD_e_continue;
    std::size_t left = 1;
    while (from.pos < from.size || (directive != ZSTD_e_continue && left != 0)) {
      left = checked(ZSTD_compressStream2(context, &to, &from, directive), sqlstate::internal_error);
    }
  } while (at < part.size());
}

span<const std::byte> frame_of(span<const std::byte> chunk, column_kind kind) {
  const auto byte_at = [&](std::size_t i) { return std::to_integer<unsigned char>(chunk[i]); };
  if (chunk.size() <= head_bytes || byte_at(0) != 'H' || byte_at(1) != 'A') throw_damaged("It has no header.");
  if (byte_at(2) != version) {
    throw error(sqlstate::feature_not_supported,
                "unknown version " + std::to_string(byte_at(2)) + " of a chunk of an archive", {},
                "A later version of the extension wrote it.");
  }
  if (byte_at(3) != static_cast<unsigned char>(kind)) throw_damaged("It holds another kind of column.");
  return chunk.subspan(head_bytes, chunk.size() - head_bytes);
}

std::vector<std::byte> decompressed(span<const std::byte> frame, std::size_t most_bytes,
                                    interrupt_checker& interrupts) {
  const unsigned long long size = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR) throw_damaged("It has no size.");
  if (size > most_bytes) {
    throw error(sqlstate::program_limit_exceeded, "chunk of an archive is too large",
                "Its contents have " + std::to_string(size) + " bytes, more than the " + std::to_string(most_bytes) +
                    " that are allowed.");
  }
  ZSTD_DCtx* const context = reset_decompressor();
  std::vector<std::byte> contents(static_cast<std::size_t>(size));
  ZSTD_inBuffer from = {frame.data(), frame.size(), 0};
  ZSTD_outBuffer to = {contents.data(), 0, 0};
  std::size_t left = 1;
  while (left != 0) {
    interrupts.check();
    const std::size_t before = from.pos + to.pos;
    to.size = std::min(contents.size(), to.pos + read_step);
    left = checked(ZSTD_decompressStream(context, &to, &from), sqlstate::data_corrupted);
    if (left != 0 && from.pos + to.pos == before) throw_damaged("It is cut short.");
  }
  if (to.pos != contents.size() || from.pos != frame.size()) throw_damaged("Its size is wrong.");
  return contents;
}

}  // namespace

void throw_damaged(const char* detail) { throw error(sqlstate::data_corrupted, "damaged chunk of an archive", detail); }

archive_chunk compress_contents(column_kind kind, span<const std::byte> contents, span<const std::size_t> part_begins,
                                interrupt_checker& interrupts) {
  ZSTD_CCtx* const context = compressor_of(contents.size());
  archive_chunk chunk(head_bytes + ZSTD_compressBound(contents.size()) + (part_begins.size() + 1) * 16);
  const unsigned char head[head_bytes] = {'H', 'A', version, static_cast<unsigned char>(kind)};
  std::transform(std::begin(head), std::end(head), chunk.begin(), [](unsigned char c) { return std::byte{c}; });
  ZSTD_outBuffer to = {chunk.data(), chunk.size(), head_bytes};
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= part_begins.size(); ++i) {
    const bool last = i == part_begins.size();
    const std::size_t end = last ? contents.size() : part_begins[i];
    compress_part(context, contents.subspan(begin, end - begin), last ? ZSTD_e_end : ZSTD_e_flush, to, interrupts);
    begin = end;
  }
  chunk.resize(to.pos);
  chunk.shrink_to_fit();
  return chunk;
}

archive_chunk contents_writer::compressed(interrupt_checker& interrupts) const {
  if (bytes_.size() > most_archived_bytes) {
    throw error(sqlstate::program_limit_exceeded, "too many bytes for a chunk of an archive",
                std::to_string(bytes_.size()) + " bytes; at most " + std::to_string(most_archived_bytes) + " fit.");
  }
  return compress_contents(kind_, bytes_, part_begins_, interrupts);
}

contents_reader::contents_reader(span<const std::byte> chunk, column_kind kind, std::size_t most_bytes,
                                 interrupt_checker& interrupts)
    : bytes_(decompressed(frame_of(chunk, kind), most_bytes, interrupts)) {
  if (take_number(1) != static_cast<std::uint64_t>(kind)) throw_damaged("It holds another kind of column.");
  count_ = static_cast<std::size_t>(take_number(4));
  if (count_ > most_archived_values) throw_damaged("It has too many values.");
}

}  // namespace hartonomous::archive
