// Selecting rows and columns of stored tensors (atom_selection.hpp).
#include "pg/store/atom_selection.hpp"

#include "pg/store/atom_quantizer.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "hartonomous/codec.hpp"

namespace hartonomous::pg {
namespace {

constexpr std::size_t panel_bytes = 4 << 20;  // of stored atoms that are worked on together
constexpr std::size_t changed_rows = 16;      // that are changed together

std::vector<std::int32_t> sequences_of(const stored_tensor& tensor, const std::vector<std::uint32_t>& rows) {
  const atom_layout& layout = tensor.layout;
  std::vector<std::int32_t> sequences;
  sequences.reserve(rows.size() * layout.atoms_per_row());
  for (const std::uint32_t row : rows) {
    for (std::uint64_t atom = layout.first_atom(row); atom < layout.end_atom(row + std::uint64_t{1}); ++atom) {
      const auto sequence = static_cast<std::int32_t>(atom);
      if (sequences.empty() || sequences.back() < sequence) sequences.push_back(sequence);
    }
  }
  return sequences;
}

}  // namespace

atom_selection::atom_selection(atom_reader& reader, const stored_tensor& from, const atom_layout& into,
                               kept_structures kept, row_change change, unsigned threads)
    : from_(from),
      into_(into),
      kept_(std::move(kept)),
      change_(std::move(change)),
      cursor_(reader, from, sequences_of(from, kept_.rows)),
      pending_(cursor_.next()),
      pool_(threads) {
  if (kept_.rows.size() != into.rows || kept_.columns.size() != into.row_length) {
    throw error(sqlstate::invalid_parameter_value,
                "the selection does not have the rows and columns of the new tensor of \"" + from.name + "\"");
  }
}

// Copies what the atom at the cursor has of the row. Its memory is freed when the cursor moves on.
void atom_selection::take_atom(row_job& job) {
  const weights_view& atom = cursor_.atom();
  const atom_layout& layout = from_.layout;
  const std::uint64_t at = layout.offset_of(cursor_.sequence()), row = job.source * layout.row_length;
  const std::uint64_t skipped = row > at ? row - at : 0;
  const std::uint64_t count = std::min<std::uint64_t>(atom.count() - skipped, layout.row_length);
  if (layout.rows_per_atom() > 1) require_whole_blocks(from_.name, layout, atom.id());
  const span<const std::byte> blocks = atom.blocks().subspan(bytes_of(atom.id(), skipped), bytes_of(atom.id(), count));
  job.bytes.emplace_back(blocks.begin(), blocks.end());
  job.runs.push_back({atom.id(), layout.column_of(cursor_.sequence()), count, job.bytes.back()});
  job.sequences.push_back(static_cast<std::int32_t>(cursor_.sequence()));
}

std::vector<atom_selection::row_job> atom_selection::read_rows() {
  std::vector<row_job> jobs;
  std::size_t bytes = 0;
  const std::uint64_t of_stored = from_.layout.rows_per_atom(), of_atom = into_.rows_per_atom();
  for (; pending_ && next_row_ < kept_.rows.size() && (bytes < panel_bytes || next_row_ % of_atom != 0); ++next_row_) {
    row_job job;
    job.source = kept_.rows[next_row_];
    job.target = next_row_;
    for (; pending_ && from_.layout.row_of(cursor_.sequence()) <= job.source; pending_ = cursor_.next()) {
      const std::uint64_t last = from_.layout.row_of(cursor_.sequence()) + of_stored - 1;
      if (last >= job.source) take_atom(job);
      if (last > job.source) break;  // the next rows may be in the same atom
    }
    if (job.runs.empty()) continue;
    for (const stored_run& run : job.runs) bytes += run.blocks.size();
    jobs.push_back(std::move(job));
  }
  return jobs;
}

// This and the next function run on threads of the pool, so they must not call PostgreSQL.
void atom_selection::change(row_job* jobs, std::size_t count) const {
  no_interrupts none;
  const std::size_t columns = from_.layout.row_length;
  std::vector<float> rows(count * columns), out(count * into_.row_length);
  std::vector<std::uint64_t> numbers;
  for (std::size_t i = 0; i < count; ++i) {
    numbers.push_back(jobs[i].source);
    column_copier copier(jobs[i].runs, columns);
    const std::vector<float>& values = copier.values(none);
    std::copy(values.begin(), values.end(), rows.begin() + static_cast<std::ptrdiff_t>(i * columns));
  }
  change_(numbers.data(), count, rows.data(), out.data());
  for (std::size_t i = 0; i < count; ++i) {
    const float* const row = out.data() + i * into_.row_length;
    jobs[i].changed.assign(row, row + into_.row_length);
  }
}

void atom_selection::select(row_job& job) const {
  no_interrupts none;
  column_copier copier(job.runs, from_.layout.row_length);
  const atom_layout into = into_.of_single_rows();
  for (std::uint64_t k = 0; k < into.atoms_per_row(); ++k) {
    const std::uint64_t atom = job.target * into.atoms_per_row() + k, count = into.length_of(atom);
    const std::uint64_t first = into.column_of(atom);
    const span<const std::uint32_t> columns = {kept_.columns.data() + first, count};
    const stored_run* source = copier.source_of(columns);
    // What is missing may become something by a change.
    if (source == nullptr && change_) source = job.runs.data();
    if (source == nullptr) continue;
    const format_traits& traits = traits_of(source->storage);
    const bool is_cut = into_.row_length != from_.layout.row_length || into_.rows_per_atom() > 1;
    if (count % traits.block_weights != 0 && is_cut) {
      throw error(sqlstate::invalid_parameter_value,
                  "rows of " + std::to_string(into_.row_length) + " weights fit no block of " + traits.name,
                  "Tensor \"" + from_.name + "\" is stored in this format.",
                  "Keep a multiple of " + std::to_string(traits.block_weights) + ".");
    }
    selected_atom made = {static_cast<std::int32_t>(atom),
                          job.sequences[static_cast<std::size_t>(source - job.runs.data())], source->storage,
                          static_cast<std::uint32_t>(count), std::vector<std::byte>(bytes_of(source->storage, count))};
    if (change_) {
      quantize(source->storage, {job.changed.data() + first, count}, {}, made.blocks.data(), none);
    } else {
      copier.copy(columns, source->storage, made.blocks.data(), none);
    }
    job.made.push_back(std::move(made));
  }
}

// Puts the rows of the next new atom together, of which at least one is there. The others are zeros, which all formats
// write as zero bytes. All rows get the format of the first.
selected_atom atom_selection::joined(const selected_atom* rows, std::size_t count) {
  const std::uint64_t columns = into_.row_length;
  const auto sequence = static_cast<std::uint64_t>(rows->sequence) / into_.rows_per_atom();
  const std::uint64_t weights = into_.length_of(sequence), of_row = bytes_of(rows->storage, columns);
  selected_atom atom = {static_cast<std::int32_t>(sequence), rows->from, rows->storage,
                        static_cast<std::uint32_t>(weights), std::vector<std::byte>(bytes_of(rows->storage, weights))};
  std::vector<float> values(columns);
  for (const selected_atom* row = rows; row < rows + count; ++row) {
    std::byte* const to =
        atom.blocks.data() + (static_cast<std::uint64_t>(row->sequence) - into_.row_of(sequence)) * of_row;
    if (row->storage == atom.storage) {
      std::copy(row->blocks.begin(), row->blocks.end(), to);
      continue;
    }
    dequantize(row->storage, row->blocks, columns, values.data(), interrupts_);
    quantize(atom.storage, values, {}, to, interrupts_);
  }
  return atom;
}

std::vector<selected_atom> atom_selection::join(const std::vector<selected_atom>& rows) {
  std::vector<selected_atom> atoms;
  const auto atom_of = [this](const selected_atom& row) {
    return static_cast<std::uint64_t>(row.sequence) / into_.rows_per_atom();
  };
  for (std::size_t first = 0, end = 0; first < rows.size(); first = end) {
    while (end < rows.size() && atom_of(rows[end]) == atom_of(rows[first])) ++end;
    atoms.push_back(joined(&rows[first], end - first));
  }
  return atoms;
}

std::vector<selected_atom> atom_selection::next() {
  std::vector<selected_atom> atoms;
  while (atoms.empty()) {
    std::vector<row_job> jobs = read_rows();
    if (jobs.empty()) break;
    if (change_) {
      const std::size_t panels = (jobs.size() + changed_rows - 1) / changed_rows;
      pool_.run(panels, interrupts_, [&](std::size_t i) {
        change(jobs.data() + i * changed_rows, std::min(changed_rows, jobs.size() - i * changed_rows));
      });
    }
    pool_.run(jobs.size(), interrupts_, [&](std::size_t i) { select(jobs[i]); });
    for (row_job& job : jobs) std::move(job.made.begin(), job.made.end(), std::back_inserter(atoms));
  }
  return into_.rows_per_atom() > 1 ? join(atoms) : atoms;
}

}  // namespace hartonomous::pg
