#include "kernel/log/views.h"

namespace heptane::log {

namespace {

constexpr size_t kHeadBytes = 8 + 8 + 4 + 2 + 2;
constexpr size_t kViewRunBytes = 8 + 4 + 4 + 4 + 2 + 2;
constexpr size_t kExtensionHeaderBytes = 4;
static_assert(kHeadBytes + kViewRunsLimit * kViewRunBytes < 0xFFFF);

Bytes extension(Bytes extensions, ExtensionType wanted) {
  Bytes found;
  for_each_extension(extensions, [&](ExtensionType type, Bytes bytes) {
    if (type == wanted) found = bytes;
  });
  return found;
}

Error malformed() { return Error{Errc::corrupt, "an entry whose records of views are malformed"}; }

}  // namespace

void append_views(ByteWriter& out, const EntryViews& views) {
  HEPTANE_ASSERT(views.runs.size() <= kViewRunsLimit, "a command makes records of too many views");
  std::byte bytes[kHeadBytes + kViewRunsLimit * kViewRunBytes];
  std::byte* at = bytes;
  const auto put = [&at](auto value) {
    store_le(at, value);
    at += sizeof value;
  };
  put(views.sequence);
  put(views.time);
  put(views.epoch);
  put(views.shard);
  put(static_cast<uint16_t>(views.runs.size()));
  for (const ViewRun& run : views.runs) {
    put(run.first);
    put(run.count);
    put(run.partition);
    put(run.version);
    put(run.machine);
    put(run.view);
  }
  append_extension(out, ExtensionType::views, Bytes(bytes, at));
}

Result<std::optional<EntryViews>> views_of(Bytes extensions) {
  const Bytes bytes = extension(extensions, ExtensionType::views);
  if (bytes.empty()) return std::optional<EntryViews>();
  ByteReader reader(bytes);
  EntryViews views;
  views.sequence = reader.le<Sequence>();
  views.time = reader.le<LogTime>();
  views.epoch = reader.le<Epoch>();
  views.shard = reader.le<ShardId>();
  const auto count = reader.le<uint16_t>();
  if (reader.failed() || count > kViewRunsLimit || reader.remaining() != count * kViewRunBytes) return malformed();
  views.runs.resize(count);
  for (ViewRun& run : views.runs) {
    run.first = reader.le<Offset>();
    run.count = reader.le<uint32_t>();
    run.partition = reader.le<PartitionId>();
    run.version = reader.le<uint32_t>();
    run.machine = reader.le<MachineId>();
    run.view = reader.le<uint16_t>();
    if (run.first < 0 || run.count == 0 || run.partition == kNoPartition) return malformed();
  }
  return std::optional<EntryViews>(std::move(views));
}

void add_result(std::vector<std::byte>& results, MachineId machine, Bytes bytes) {
  std::byte head[6];
  store_le<uint16_t>(head, machine);
  store_le<uint32_t>(head + 2, static_cast<uint32_t>(bytes.size()));
  results.insert(results.end(), head, head + sizeof head);
  results.insert(results.end(), bytes.begin(), bytes.end());
}

void append_results(ByteWriter& out, Bytes results) {
  append_extension(out, ExtensionType::results, results);
  out.zeros((4 - results.size() % 4) % 4);
}

std::vector<Bytes> results_of(Bytes extensions, MachineId machine) {
  std::vector<Bytes> found;
  ByteReader reader(extension(extensions, ExtensionType::results));
  while (reader.remaining() >= 6) {
    const auto from = reader.le<MachineId>();
    const Bytes bytes = reader.take(reader.le<uint32_t>());
    if (reader.failed()) break;
    if (from == machine) found.push_back(bytes);
  }
  return found;
}

Bytes additions_of(Bytes extensions) {
  const std::byte* first = nullptr;
  for_each_extension(extensions, [&](ExtensionType type, Bytes bytes) {
    if (first == nullptr && (type == ExtensionType::views || type == ExtensionType::results))
      first = bytes.data() - kExtensionHeaderBytes;
  });
  return first == nullptr ? Bytes{} : extensions.subspan(static_cast<size_t>(first - extensions.data()));
}

}  // namespace heptane::log
