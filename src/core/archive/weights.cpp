// The column of weights (hartonomous/archive.hpp): atoms of equal formats together, in the order in which the formats
// occur first. For each format there is a layout, and the parts that it says.
#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "archive/contents.hpp"
#include "archive/lineage.hpp"
#include "archive/planes.hpp"
#include "hartonomous/archive.hpp"
#include "hartonomous/codec.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {

using namespace archive;

namespace {

enum class layout : std::uint8_t {
  as_bytes = 0,
  as_planes = 1,
  as_bf16 = 2,  // F32 that is BF16: the upper halves, in planes
  as_f16 = 3,   // F32 that is F16, in planes
};

constexpr std::size_t panel = 4096;  // weights looked at together

struct run {
  format id;
  std::size_t bytes = 0;  // of all atoms of the format
};

// Formats in the order in which they occur first.
std::vector<run> runs_of(span<const atom_weights> atoms) {
  std::vector<run> runs;
  for (const atom_weights& atom : atoms) {
    auto found = std::find_if(runs.begin(), runs.end(), [&](const run& one) { return one.id == atom.id; });
    if (found == runs.end()) found = runs.insert(found, {atom.id});
    found->bytes += static_cast<std::size_t>(bytes_of(atom.id, atom.count));
  }
  return runs;
}

bool is_halves(format id) { return id == format::F16 || id == format::BF16; }

// ---- slack ------------------------------------------------------------------------------------------------------

bool all_bf16(span<const atom_weights> atoms) {
  return std::all_of(atoms.begin(), atoms.end(), [](const atom_weights& atom) {
    return atom.id != format::F32 || lower_halves_are_zero(atom.blocks.data(), atom.count);
  });
}

// Converts to halves, and says whether nothing was lost.
bool to_f16(const std::byte* from, std::size_t count, std::byte* to) {
  const codec& halves = *find_codec(format::F16);
  std::array<float, panel> floats = {};
  std::array<float, panel> back = {};
  for (std::size_t at = 0; at < count; at += panel) {
    const std::size_t now = std::min(panel, count - at);
    std::memcpy(floats.data(), from + 4 * at, 4 * now);
    halves.quantize_blocks(floats.data(), nullptr, 0.0F, to + 2 * at, now);  // does not mind what is too large
    halves.dequantize_blocks(to + 2 * at, back.data(), now);
    if (std::memcmp(floats.data(), back.data(), 4 * now) != 0) return false;
  }
  return true;
}

// All F32 as halves; empty if that loses anything.
std::vector<std::byte> all_f16(span<const atom_weights> atoms, std::size_t size, interrupt_checker& interrupts) {
  std::vector<std::byte> halves;
  for (const atom_weights& atom : atoms) {
    if (atom.id != format::F32) continue;
    interrupts.check();
    const std::size_t begin = halves.size();
    if (begin == 0) halves.reserve(size / 2);
    halves.resize(begin + 2 * std::size_t{atom.count});
    if (!to_f16(atom.blocks.data(), atom.count, halves.data() + begin)) return {};
  }
  return halves;
}

// ---- writing ----------------------------------------------------------------------------------------------------

void add_bytes(span<const atom_weights> atoms, const run& of, contents_writer& contents) {
  contents.add_number(static_cast<std::uint64_t>(layout::as_bytes), 1);
  std::byte* to = contents.add_part(of.bytes);
  for (const atom_weights& atom : atoms) {
    if (atom.id == of.id && atom.count != 0) to = std::copy(atom.blocks.begin(), atom.blocks.end(), to);
  }
}

void add_words(span<const atom_weights> atoms, const run& of, layout how, words kind, contents_writer& contents) {
  contents.add_number(static_cast<std::uint64_t>(how), 1);
  const std::size_t count = of.bytes / bytes_in(kind);
  std::byte* to = contents.add_planes(count, planes_of(kind));
  for (const atom_weights& atom : atoms) {
    if (atom.id != of.id) continue;
    split_planes(kind, atom.blocks.data(), atom.count, to, count);
    to += atom.count;
  }
}

void add_run(span<const atom_weights> atoms, const run& of, contents_writer& contents, interrupt_checker& interrupts) {
  if (is_halves(of.id)) return add_words(atoms, of, layout::as_planes, words::of_16_bits, contents);
  if (of.id != format::F32) return add_bytes(atoms, of, contents);
  if (all_bf16(atoms)) return add_words(atoms, of, layout::as_bf16, words::upper_halves, contents);
  if (const std::vector<std::byte> halves = all_f16(atoms, of.bytes, interrupts); !halves.empty()) {
    contents.add_number(static_cast<std::uint64_t>(layout::as_f16), 1);
    const std::size_t count = halves.size() / 2;
    return split_planes(words::of_16_bits, halves.data(), count, contents.add_planes(count, 2), count);
  }
  add_words(atoms, of, layout::as_planes, words::of_32_bits, contents);
}

// ---- reading ----------------------------------------------------------------------------------------------------

void read_words(contents_reader& contents, words kind, std::size_t bytes, std::byte* to) {
  const std::size_t count = bytes / bytes_in(kind);
  join_planes(kind, contents.take(count * planes_of(kind)).data(), count, count, to);
}

void read_f16(contents_reader& contents, std::size_t count, std::byte* to) {
  const codec& f16 = *find_codec(format::F16);
  std::vector<std::byte> halves(2 * count);
  read_words(contents, words::of_16_bits, halves.size(), halves.data());
  std::array<float, panel> floats = {};
  for (std::size_t at = 0; at < count; at += panel) {
    const std::size_t now = std::min(panel, count - at);
    f16.dequantize_blocks(halves.data() + 2 * at, floats.data(), now);
    std::memcpy(to + 4 * at, floats.data(), 4 * now);
  }
}

void read_run(contents_reader& contents, const run& of, std::byte* to) {
  const std::uint64_t how = contents.take_number(1);
  if (how == static_cast<std::uint64_t>(layout::as_bytes)) {
    const span<const std::byte> bytes = contents.take(of.bytes);
    std::copy(bytes.begin(), bytes.end(), to);
  } else if (how == static_cast<std::uint64_t>(layout::as_planes) && is_halves(of.id)) {
    read_words(contents, words::of_16_bits, of.bytes, to);
  } else if (how == static_cast<std::uint64_t>(layout::as_planes) && of.id == format::F32) {
    read_words(contents, words::of_32_bits, of.bytes, to);
  } else if (how == static_cast<std::uint64_t>(layout::as_bf16) && of.id == format::F32) {
    read_words(contents, words::upper_halves, of.bytes, to);
  } else if (how == static_cast<std::uint64_t>(layout::as_f16) && of.id == format::F32) {
    read_f16(contents, of.bytes / 4, to);
  } else {
    throw_damaged("Its weights have a layout that does not exist.");
  }
}

std::vector<atom_weights> read_heads(contents_reader& contents) {
  const std::vector<std::int64_t> ids = contents.take_integers(contents.count());
  const std::vector<std::int64_t> counts = contents.take_integers(contents.count());
  std::vector<atom_weights> atoms;
  atoms.reserve(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] > UINT32_MAX || counts[i] < 0 || counts[i] > UINT32_MAX) {
      throw_damaged("An atom has no format or no length.");
    }
    const format_traits* traits = find_format(static_cast<std::uint32_t>(ids[i]));
    if (traits == nullptr) throw_damaged("An atom has an unknown format.");
    atoms.push_back({traits->id, static_cast<std::uint32_t>(counts[i]), {}});
  }
  return atoms;
}

// ---- lineage ----------------------------------------------------------------------------------------------------

void require_parents(span<const atom_weights> parents, std::size_t count) {
  if (parents.size() == count) return;
  throw error(
      sqlstate::invalid_parameter_value, "chunk of an archive without the weights that it descends from",
      "It has " + std::to_string(count) + " atoms, of " + std::to_string(parents.size()) + " the parent is given.");
}

// The atoms, and of those that descend from others what differs; views of `blocks`.
std::vector<atom_weights> differences(span<const atom_weights> atoms, span<const atom_weights> parents,
                                      std::size_t size, std::vector<std::byte>& blocks) {
  std::vector<atom_weights> found(atoms.begin(), atoms.end());
  blocks.resize(size);
  std::byte* to = blocks.data();
  for (std::size_t i = 0; i < found.size(); ++i) {
    const std::size_t bytes = found[i].blocks.size();
    if (!descends(found[i], parents[i]) || bytes == 0) continue;
    std::memcpy(to, found[i].blocks.data(), bytes);
    add_difference(parents[i].blocks.data(), bytes, to);
    found[i].blocks = {to, bytes};
    to += bytes;
  }
  return found;
}

archive_chunk written(span<const atom_weights> atoms, span<const atom_weights> parents, std::size_t size,
                      interrupt_checker& interrupts) {
  std::vector<std::int64_t> ids;
  std::vector<std::int64_t> counts;
  for (const atom_weights& atom : atoms) {
    ids.push_back(static_cast<std::int64_t>(atom.id));
    counts.push_back(atom.count);
  }
  contents_writer contents(column_kind::weights, atoms.size(), size + 16 * atoms.size() + 64);
  contents.add_integers(ids);
  contents.add_integers(counts);
  contents.add_number(parents.empty() ? 0 : 1, 1);
  std::vector<atom_weights> shown(atoms.begin(), atoms.end());
  std::vector<std::byte> blocks;
  if (!parents.empty()) {
    contents.add_number(lineage_hash(atoms, parents), 8);
    shown = differences(atoms, parents, size, blocks);
  }
  for (const run& of : runs_of(shown)) {
    interrupts.check();
    add_run(shown, of, contents, interrupts);
  }
  return contents.compressed(interrupts);
}

// Whether atoms descend from parents, which are then the right ones.
bool read_lineage(contents_reader& contents, span<const atom_weights> atoms, span<const atom_weights> parents) {
  const std::uint64_t descended = contents.take_number(1);
  if (descended > 1) throw_damaged("Its atoms neither descend from others nor do not.");
  if (descended == 0) return false;
  require_parents(parents, atoms.size());
  if (contents.take_number(8) != lineage_hash(atoms, parents)) {
    throw_damaged("The weights that it descends from are others than those it was written with.");
  }
  return true;
}

}  // namespace

archive_chunk archive_weights(span<const atom_weights> atoms, span<const atom_weights> parents,
                              interrupt_checker& interrupts) {
  std::size_t size = 0;
  for (const atom_weights& atom : atoms) {
    if (atom.blocks.size() != bytes_of(atom.id, atom.count)) {
      throw error(sqlstate::internal_error, "an atom to be archived has the wrong number of bytes");
    }
    size += atom.blocks.size();
    if (size > most_archived_bytes) {
      throw error(sqlstate::program_limit_exceeded, "too many bytes for a chunk of an archive",
                  "At most " + std::to_string(most_archived_bytes) + " fit.");
    }
  }
  archive_chunk chunk = written(atoms, {}, size, interrupts);
  if (!parents.empty()) {
    require_parents(parents, atoms.size());
    archive_chunk by_lineage = written(atoms, parents, size, interrupts);
    if (by_lineage.size() < chunk.size()) return by_lineage;
  }
  return chunk;
}

archived_weights read_archived_weights(span<const std::byte> chunk, span<const atom_weights> parents,
                                       std::size_t most_bytes, interrupt_checker& interrupts) {
  contents_reader contents(chunk, column_kind::weights, most_bytes, interrupts);
  archived_weights read;
  read.atoms = read_heads(contents);
  const bool descended = read_lineage(contents, read.atoms, parents);
  const std::vector<run> runs = runs_of(read.atoms);
  std::uint64_t size = 0;
  for (const run& of : runs) size += of.bytes;
  // No layout has less than half of the bytes: more would not be there, and must not be allocated.
  if (size / 2 > contents.left()) throw_damaged("Its contents end too early.");
  read.blocks.resize(static_cast<std::size_t>(size));

  std::byte* to = read.blocks.data();
  for (const run& of : runs) {
    interrupts.check();
    read_run(contents, of, to);
    for (std::size_t i = 0; i < read.atoms.size(); ++i) {
      atom_weights& atom = read.atoms[i];
      if (atom.id != of.id) continue;
      atom.blocks = {to, static_cast<std::size_t>(bytes_of(atom.id, atom.count))};
      if (descended && descends(atom, parents[i])) add_difference(parents[i].blocks.data(), atom.blocks.size(), to);
      to += atom.blocks.size();
    }
  }
  contents.end();
  return read;
}

}  // namespace hartonomous
