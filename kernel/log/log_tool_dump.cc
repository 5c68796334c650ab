#include <iomanip>
#include <ostream>

#include "kernel/base/time_text.h"
#include "kernel/log/log_tool_scan.h"
#include "kernel/log/views.h"

namespace heptane::log {

namespace {

constexpr const char* kRedacted = "redacted";

const char* kind_name(EntryKind kind) {
  switch (kind) {
    case EntryKind::command: return "command";
    case EntryKind::record_command: return "record_command";
    case EntryKind::records: return "records";
  }
  return "unknown";
}

std::string cause_of(const EntryView& entry) {
  std::string cause;
  for_each_extension(entry.extensions, [&cause](ExtensionType type, Bytes bytes) {
    if (type != ExtensionType::cause || bytes.size() != 16) return;
    cause = position_text(load_le<uint16_t>(bytes.data()), load_le<uint64_t>(bytes.data() + 8),
                          load_le<uint32_t>(bytes.data() + 4));
  });
  return cause;
}

std::vector<ViewRun> view_runs_of(const EntryView& entry) {
  Result<std::optional<EntryViews>> views = views_of(entry.extensions);
  return views && *views ? std::move((*views)->runs) : std::vector<ViewRun>();
}

void print_hex(std::ostream& out, Bytes bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (const std::byte byte : bytes)
    out << kDigits[static_cast<unsigned>(byte) >> 4] << kDigits[static_cast<unsigned>(byte) & 15];
}

class Dumper {
 public:
  Dumper(ShardId shard, const DumpOptions& options, std::ostream& out) : shard_(shard), options_(options), out_(out) {}

  void batch(const BatchHeader& header) {
    if (!header.is_seal() || header.first_sequence < options_.from || header.first_sequence > options_.upto) return;
    const char* kind = (header.flags & kJumpFlag) != 0 ? "jump" : "seal";
    ++lines_;
    if (options_.json)
      out_ << R"({"position":")" << position_text(shard_, header.first_sequence) << R"(","time":")"
           << time_text(header.base_time) << R"(","epoch":)" << header.epoch << R"(,"kind":")" << kind << R"("})"
           << '\n';
    else
      out_ << position_text(shard_, header.first_sequence) << ' ' << time_text(header.base_time) << ' ' << kind
           << " epoch " << header.epoch << '\n';
  }

  void entry(const BatchHeader& batch, const EntryView& entry, Sequence sequence) {
    if (sequence < options_.from || sequence > options_.upto) return;
    ++lines_;
    const EntryHeader& header = entry.header;
    const LogTime time =
        header.is_command() && !header.is_record_batch() ? batch.base_time + header.detail : batch.base_time;
    options_.json ? print_json(entry, sequence, time) : print_text(entry, sequence, time);
    out_ << '\n';
  }

  uint64_t lines() const { return lines_; }

 private:
  bool is_secret(const EntryView& entry) const { return options_.secret && options_.secret(entry); }

  void print_text(const EntryView& entry, Sequence sequence, LogTime time) {
    const EntryHeader& header = entry.header;
    out_ << position_text(shard_, sequence) << ' ' << time_text(time) << ' ' << kind_name(header.kind) << " machine "
         << header.machine << " type " << header.type;
    if (header.partition != kNoPartition) out_ << " partition " << header.partition;
    if (header.is_record_batch()) out_ << " records " << header.detail;
    out_ << " bytes " << header.payload_bytes << '+' << header.extension_bytes;
    const std::string cause = cause_of(entry);
    if (!cause.empty()) out_ << " cause " << cause;
    for (const ViewRun& run : view_runs_of(entry))
      out_ << " view " << run.partition << " offset " << run.first << " records " << run.count;
    if (!options_.payload) return;
    out_ << " payload ";
    is_secret(entry) ? void(out_ << kRedacted) : print_hex(out_, entry.payload);
  }

  void print_json(const EntryView& entry, Sequence sequence, LogTime time) {
    const EntryHeader& header = entry.header;
    out_ << R"({"position":")" << position_text(shard_, sequence) << R"(","time":")" << time_text(time)
         << R"(","kind":")" << kind_name(header.kind) << R"(","machine":)" << header.machine << R"(,"type":)"
         << header.type << R"(,"partition":)" << header.partition;
    if (header.is_record_batch()) out_ << R"(,"records":)" << header.detail;
    out_ << R"(,"payload_bytes":)" << header.payload_bytes << R"(,"extension_bytes":)" << header.extension_bytes;
    const std::string cause = cause_of(entry);
    if (!cause.empty()) out_ << R"(,"cause":")" << cause << '"';
    const std::vector<ViewRun> runs = view_runs_of(entry);
    for (size_t i = 0; i < runs.size(); ++i)
      out_ << (i == 0 ? R"(,"views":[{"partition":)" : R"(,{"partition":)") << runs[i].partition << R"(,"offset":)"
           << runs[i].first << R"(,"records":)" << runs[i].count << '}' << (i + 1 == runs.size() ? "]" : "");
    if (options_.payload) {
      out_ << R"(,"payload":")";
      is_secret(entry) ? void(out_ << kRedacted) : print_hex(out_, entry.payload);
      out_ << '"';
    }
    out_ << '}';
  }

  const ShardId shard_;
  const DumpOptions& options_;
  std::ostream& out_;
  uint64_t lines_ = 0;
};

}  // namespace

Result<uint64_t> dump_log(Disk& disk, const LogTarget& target, const DumpOptions& options, std::ostream& out) {
  const std::string directory = segment_log_options(target.data_directory, target.shard).directory;
  Result<SegmentListing> listing = list_segments(disk, directory);
  if (!listing) return std::move(listing.error());
  const std::optional<LogId> id = log_id_of(listing->segments);
  if (!id) return uint64_t{0};
  Error why;
  const size_t sound = sound_prefix(listing->segments, *id, target.shard, why);
  if (sound == 0) return why;
  const bool whole = sound == listing->segments.size();
  listing->segments.resize(sound);
  Result<ScanPosition> start = scan_start(disk, listing->segments);
  if (!start && start.error().code == Errc::not_found) return uint64_t{0};
  if (!start) return std::move(start.error());
  Dumper dumper(target.shard, options, out);
  BatchScanner scanner(disk, *id, target.shard, listing->segments, *start);
  for (;;) {
    Result<std::optional<BatchScanner::Scanned>> batch = scanner.next();
    if (!batch) return std::move(batch.error());
    if (!*batch) break;
    const BatchHeader& header = (*batch)->view.header();
    if (header.first_sequence > options.upto) return dumper.lines();
    dumper.batch(header);
    HEPTANE_TRY((*batch)->view.for_each_entry([&](const EntryView& entry, Sequence sequence) -> Result<void> {
      dumper.entry(header, entry, sequence);
      return {};
    }));
  }
  const std::string where = scanner.path() + " offset " + std::to_string(scanner.position().offset);
  const std::string stop = scanner.why_ended();
  Result<std::optional<Evidence>> evidence = scanner.find_evidence();
  if (!evidence) return std::move(evidence.error());
  if (*evidence) return Error{Errc::corrupt, where + ": the log cannot be read on (" + stop + ")"};
  if (!whole) return why;
  return dumper.lines();
}

}  // namespace heptane::log
