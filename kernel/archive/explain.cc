#include "kernel/archive/explain.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernel/archive/archive_store.h"
#include "kernel/base/time_text.h"
#include "kernel/blobs/api.h"
#include "kernel/log/log_tool_scan.h"
#include "kernel/shard/kernel_state.h"
#include "kernel/shard/state_machine.h"
#include "kernel/shard/transact.h"
#include "kernel/streams/api.h"
#include "kernel/streams/inflate.h"
#include "kernel/streams/record_batch.h"
#include "kernel/streams/view_batches.h"

namespace heptane::archive {

namespace {

constexpr size_t kTextBytes = 512;
constexpr size_t kOperationsTold = 20;
constexpr size_t kInflatedBytesMax = size_t{64} << 20;

// What makes texts of bytes.
struct Tellers {
  const ViewRenderers& views;
  const CommandTable& commands;
};

std::string printable(Bytes bytes) {
  std::string out;
  for (const std::byte byte : bytes.first(std::min(bytes.size(), kTextBytes))) {
    const auto c = static_cast<unsigned char>(byte);
    if (c >= 0x20 && c < 0x7F && c != '\\')
      out += static_cast<char>(c);
    else
      out += fmt::format("\\x{:02x}", c);
  }
  return bytes.size() > kTextBytes ? out + "..." : out;
}

std::string what_of(const log::EntryHeader& header, const CommandTable& commands) {
  if (header.kind == log::EntryKind::record_command)
    return fmt::format("a record batch for partition id {}", header.partition);
  if (header.machine == machine_ids::kStreams) switch (header.type) {
      case streams::kCreateStream: return "create a stream";
      case streams::kDeleteStream: return "delete a stream";
      case streams::kAppendEvents: return "append records";
      case streams::kAlterStream: return "alter a stream";
      case streams::kSetLogStart: return "retention: let old records go";
      default: break;
    }
  if (header.machine == machine_ids::kBlobs) switch (header.type) {
      case blobs::kPutBlob: return "keep a blob, whose bytes are a file already";
      case blobs::kDropBlob: return "delete a blob: it stays only for machines that refer to it";
      default: break;
    }
  if (header.machine == machine_ids::kKernel) switch (header.type) {
      case kTransact: return "a transaction of several operations";
      case kFireTimer: return "a timer fires";
      case kDropTimer: return "a timer that ended the server is dropped";
      case kForgetResults: return "first results that are too old are forgotten";
      case kActivate: return "a logic version is activated";
      case kSetConfig: return "a change of the configuration";
      default: break;
    }
  return fmt::format("{}: {}", commands.machine(header.machine), commands.command(header.machine, header.type));
}

// Where its machine can say it; else as it is.
std::string payload_text(const CommandTable& commands, MachineId machine, CommandType type, Bytes payload) {
  const CommandWords* words = commands.find(machine, type);
  std::string text = words != nullptr && words->payload != nullptr ? words->payload(payload) : std::string();
  return text.empty() ? printable(payload) : text;
}

void add_extensions(Bytes extensions, Explanation& out) {
  (void)log::for_each_extension(extensions, [&out](log::ExtensionType type, Bytes bytes) {
    const auto add = [&out](const char* name, std::string value) { out.facts.emplace_back(name, std::move(value)); };
    using Type = log::ExtensionType;
    if (type == Type::trace_id && bytes.size() == 16)
      add("trace_id", log_id_text(*reinterpret_cast<const LogId*>(bytes.data())));
    if (type == Type::idempotency && bytes.size() >= 16) {
      std::string key;
      for (const std::byte byte : bytes.first(16)) key += fmt::format("{:02x}", static_cast<unsigned>(byte));
      add("idempotency_key_hash", std::move(key));
    }
    if (type == Type::principal && bytes.size() == 8)
      add("principal",
          fmt::format("{} version {}", load_le<uint32_t>(bytes.data()), load_le<uint32_t>(bytes.data() + 4)));
    if (type == Type::origin && bytes.size() == 24)
      add("origin", fmt::format("listener {}, session {}, received {}", load_le<uint16_t>(bytes.data()),
                                load_le<uint64_t>(bytes.data() + 8), time_text(load_le<int64_t>(bytes.data() + 16))));
    if (type == Type::cause && bytes.size() == 16)
      add("cause", position_text(load_le<uint16_t>(bytes.data()), load_le<uint64_t>(bytes.data() + 8),
                                 load_le<uint32_t>(bytes.data() + 4)));
  });
}

// What a command of blobs names; its payload is not text.
void add_blob(const log::EntryView& entry, Explanation& out) {
  if (entry.header.machine != machine_ids::kBlobs) return;
  if (const Result<blobs::Blob> blob = blobs::decode_blob(entry.payload);
      blob && entry.header.type == blobs::kPutBlob) {
    out.facts.emplace_back("blob", blobs::digest_text(blob->digest));
    out.facts.emplace_back("blob_bytes", std::to_string(blob->bytes));
  }
  if (const auto digest = blobs::decode_digest(entry.payload); digest && entry.header.type == blobs::kDropBlob)
    out.facts.emplace_back("blob", blobs::digest_text(*digest));
}

void add_record(const streams::RecordView& record, PartitionId partition, Explanation& out) {
  if (out.records.size() == kExplainedRecords) {
    ++out.records_left_out;
    return;
  }
  std::string text = record.has_key ? printable(record.key) + " = " : std::string();
  text += record.has_value ? printable(record.value) : "(no value)";
  out.records.push_back({partition, record.offset, std::move(text), std::string(as_text(record.key)),
                         std::string(as_text(record.value))});
}

// Every record that `wanted` says yes to by its index in the batch.
template <class Wanted>
Result<void> add_records(const log::EntryView& entry, Explanation& out, Wanted&& wanted) {
  Bytes batch = entry.payload;
  const Result<streams::RecordBatchInfo> info = streams::decode_record_batch_header(batch);
  if (!info) return info.error();
  std::vector<std::byte> inflated;
  if (info->compressed()) {
    Result<std::vector<std::byte>> plain = streams::inflate_batch(batch, kInflatedBytesMax);
    if (!plain) return std::move(plain.error());
    inflated = std::move(*plain);
    batch = inflated;
  }
  size_t index = 0;
  return streams::for_each_record(batch, [&](const streams::RecordView& record) {
    if (wanted(index++)) add_record(record, entry.header.partition, out);
  });
}

// Users' verifiers and hashes of tokens, also as a part of a transaction.
bool is_about_users(const log::EntryView& entry) {
  if (entry.header.machine == machine_ids::kAuth) return true;
  if (entry.header.machine != machine_ids::kKernel || entry.header.type != kTransact) return false;
  const Result<std::vector<Operation>> operations = decode_transact(entry.payload);
  return operations && std::any_of(operations->begin(), operations->end(),
                                   [](const Operation& part) { return part.machine == machine_ids::kAuth; });
}

// Of a transaction, which is told in place of its bytes.
bool add_operations(const log::EntryView& entry, const CommandTable& commands, Explanation& out) {
  if (entry.header.machine != machine_ids::kKernel || entry.header.type != kTransact) return false;
  const Result<std::vector<Operation>> operations = decode_transact(entry.payload);
  if (!operations) return false;
  for (size_t i = 0; i < std::min(operations->size(), kOperationsTold); ++i) {
    const Operation& part = (*operations)[i];
    out.facts.emplace_back(
        "operation_" + std::to_string(i),
        fmt::format("{}: {}: {}", commands.machine(part.machine), commands.command(part.machine, part.type),
                    payload_text(commands, part.machine, part.type, part.payload)));
  }
  return true;
}

void add_payload(const log::EntryView& entry, const CommandTable& commands, Explanation& out) {
  if (is_about_users(entry))
    out.facts.emplace_back("payload", "not shown: it is about users");
  else if (!add_operations(entry, commands, out))
    out.facts.emplace_back("payload", payload_text(commands, entry.header.machine, entry.header.type, entry.payload));
}

// The records of views that the command made, as many as are listed.
Result<void> add_views(const log::EntryView& entry, const ViewRenderers& renderers, Explanation& out) {
  const Result<std::optional<log::EntryViews>> views = log::views_of(entry.extensions);
  if (!views) return views.error();
  if (!*views) return {};
  for (const log::ViewRun& run : (*views)->runs) {
    streams::ViewBatches rendered(renderers, {});
    const Result<bool> all = rendered.add(entry, **views, run, run.first);
    if (!all) {
      out.facts.emplace_back("view", all.error().message);
      continue;
    }
    for (const Buffer& batch : rendered.take())
      HEPTANE_TRY(streams::for_each_record(
          batch.view(), [&](const streams::RecordView& record) { add_record(record, run.partition, out); }));
  }
  return {};
}

Result<void> add_command(const log::EntryView& entry, LogTime time, ShardId shard, Sequence sequence,
                         const Tellers& tellers, Explanation& out) {
  out.position = position_text(shard, sequence);
  out.time = time_text(time);
  out.what = what_of(entry.header, tellers.commands);
  out.facts.emplace_back("machine", tellers.commands.machine(entry.header.machine));
  out.facts.emplace_back("type", std::to_string(entry.header.type));
  out.facts.emplace_back("payload_bytes", std::to_string(entry.header.payload_bytes));
  add_extensions(entry.extensions, out);
  if (entry.header.is_record_batch()) return add_records(entry, out, [](size_t) { return true; });
  add_blob(entry, out);
  add_payload(entry, tellers.commands, out);
  return add_views(entry, tellers.views, out);
}

// Of `records`: those that the command caused.
Result<void> add_events(const log::EntryView& entry, uint64_t delta, Explanation& out) {
  std::vector<bool> ours;
  (void)log::for_each_extension(entry.extensions, [&](log::ExtensionType type, Bytes bytes) {
    if (type != log::ExtensionType::causes) return;
    ByteReader reader(bytes);
    for (uint32_t i = 0; i < entry.header.detail && !reader.failed(); ++i) {
      ours.push_back(reader.varint() == delta);
      (void)reader.varint();
    }
  });
  if (std::find(ours.begin(), ours.end(), true) == ours.end()) return {};
  return add_records(entry, out, [&ours](size_t index) { return index < ours.size() && ours[index]; });
}

// Index of the segment that may hold the sequence: the last one that begins at or below it.
size_t segment_of(Disk& disk, const std::vector<log::SegmentFile>& segments, Sequence sequence) {
  size_t low = 0;
  for (size_t high = segments.size(); low + 1 < high;) {
    const size_t middle = low + (high - low) / 2;
    const Result<log::ScanPosition> start = log::scan_start(disk, {segments[middle], segments.back()});
    // One made ahead holds nothing.
    if (start && start->next_sequence <= sequence)
      low = middle;
    else
      high = middle;
  }
  return low;
}

Result<std::optional<Explanation>> explain_from_log(Disk& disk, const std::string& directory, ShardId shard,
                                                    Sequence sequence, const Tellers& tellers,
                                                    std::optional<LogId>& id) {
  Result<log::SegmentListing> listing = log::list_segments(disk, directory);
  if (!listing) return std::move(listing.error());
  std::vector<log::SegmentFile>& segments = listing->segments;
  id = log::log_id_of(segments);
  if (!id) return std::optional<Explanation>();
  const size_t first = segment_of(disk, segments, sequence);
  segments.erase(segments.begin(), segments.begin() + static_cast<ptrdiff_t>(first));
  const Result<log::ScanPosition> start = log::scan_start(disk, segments);
  if (!start && start.error().code == Errc::not_found) return std::optional<Explanation>();
  if (!start) return start.error();
  log::BatchScanner scanner(disk, *id, shard, segments, *start);
  for (;;) {
    Result<std::optional<log::BatchScanner::Scanned>> batch = scanner.next();
    if (!batch) return std::move(batch.error());
    if (!*batch || (*batch)->view.header().first_sequence > sequence) return std::optional<Explanation>();
    const log::BatchHeader& header = (*batch)->view.header();
    if (header.is_seal() || header.last_sequence() < sequence) continue;
    Explanation out;
    bool found = false;
    HEPTANE_TRY((*batch)->view.for_each_entry([&](const log::EntryView& entry, Sequence at) -> Result<void> {
      if (entry.header.kind == log::EntryKind::records)
        return found ? add_events(entry, sequence - header.first_sequence, out) : Result<void>();
      if (at != sequence) return {};
      found = true;
      return add_command(entry, header.base_time + entry.header.detail, shard, sequence, tellers, out);
    }));
    out.facts.emplace_back("chain", fmt::format("{:08x}", header.header_crc));
    out.facts.emplace_back("batch", fmt::format("{} to {}, epoch {}, segment {} offset {}", header.first_sequence,
                                                header.last_sequence(), header.epoch, header.segment, header.offset));
    return found ? std::optional(std::move(out)) : std::nullopt;
  }
}

}  // namespace

Result<Explanation> explain(Disk& disk, const std::string& data_directory, ShardId shard, Sequence sequence,
                            const ViewRenderers& renderers, const CommandTable& commands) {
  const Tellers tellers{renderers, commands};
  const std::string home = data_directory + "/shard-" + std::to_string(shard);
  std::optional<LogId> id;
  Result<std::optional<Explanation>> in_log = explain_from_log(disk, home + "/log", shard, sequence, tellers, id);
  if (!in_log) return std::move(in_log.error());
  if (*in_log) return std::move(**in_log);
  ArchiveStore store(disk, {home + "/archive", shard});
  HEPTANE_TRY(store.look(id));
  ArchiveReader reader(disk, store);
  const Result<ArchiveReader::FoundCommand> found = reader.command(sequence);
  if (!found && found.error().code == Errc::not_found)
    return Error{Errc::not_found,
                 position_text(shard, sequence) + " is no command of this log, or one that went with its retention"};
  if (!found) return found.error();
  Explanation out;
  HEPTANE_TRY(add_command(found->item.entry, found->item.frame.time, shard, sequence, tellers, out));
  if (!found->item.entry.header.is_record_batch())
    out.facts.emplace_back("archived",
                           "yes: its records are in their streams, and only those of views are listed here");
  return out;
}

}  // namespace heptane::archive
