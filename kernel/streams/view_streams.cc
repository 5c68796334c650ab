// Streams that are views, for the machines that make their records: made, configured, dropped.

#include "kernel/streams/streams_machine.h"

namespace heptane::streams {

std::optional<PartitionId> StreamsMachine::ensure_view(std::string_view name, ViewId view, Sequence sequence,
                                                       StreamConfig config) {
  const Stream* stream = ensure_view_stream(name, view, 0, sequence, config);
  return stream == nullptr ? std::nullopt : std::optional(stream->partitions.front());
}

std::optional<std::vector<PartitionId>> StreamsMachine::ensure_views(std::string_view name, ViewId first,
                                                                     uint32_t partitions, Sequence sequence,
                                                                     StreamConfig config) {
  const Stream* stream = ensure_view_stream(name, first, partitions, sequence, config);
  if (stream == nullptr) return std::nullopt;
  std::vector<PartitionId> ids;
  for (const PartitionId id : stream->partitions) ids.push_back(id);
  return ids;
}

// `partitions`: as many as it must have; 0: whatever a client that was first made it with, else one.
StreamsMachine::Stream* StreamsMachine::ensure_view_stream(std::string_view name, ViewId first, uint32_t partitions,
                                                           Sequence sequence, StreamConfig config) {
  const auto found = streams_.find(name);
  const bool made = found == streams_.end();
  Stream& stream = made ? add_stream(name, partitions == 0 ? 1 : partitions, sequence) : found->second;
  if (made) stream.config = config;
  if (partitions != 0 && stream.partitions.size() != partitions) return nullptr;
  if (stream.view == first) return &stream;
  if (stream.view.is_view()) return nullptr;
  // Made by a client that came before the first record, or just now.
  for (const PartitionId partition : stream.partitions)
    if (partitions_[partition].next_offset != 0) return nullptr;
  make_view(stream, first);
  undoable([this, name = std::string(name)] { make_view(streams_.find(name)->second, ViewId{}); });
  return &stream;
}

void StreamsMachine::make_view(Stream& stream, ViewId first) {
  stream.view = first;
  ViewId view = first;
  for (const PartitionId partition : stream.partitions) {
    partitions_[partition].view = view;
    if (view.is_view()) ++view.number;
  }
}

StreamsMachine::Stream* StreamsMachine::find_view(std::string_view name, ViewId first) {
  const auto found = streams_.find(name);
  return found == streams_.end() || found->second.view != first ? nullptr : &found->second;
}

void StreamsMachine::configure_view(std::string_view name, ViewId first, StreamConfig config) {
  if (Stream* stream = find_view(name, first)) stream->config = config;
}

void StreamsMachine::keep_view(std::string_view name, ViewId first) {
  Stream* stream = find_view(name, first);
  if (stream == nullptr || stream->kept) return;
  undoable([this, name = std::string(name), before = stream->config] {
    Stream& kept = streams_.find(name)->second;
    kept.kept = false;
    kept.config = before;
  });
  stream->kept = true;
  stream->config = {};
}

bool StreamsMachine::drop_view(std::string_view name, ViewId first, Sequence sequence) {
  HEPTANE_ASSERT(scopes_.empty(), "a view is dropped by a command of its own, not inside a transaction");
  const Stream* stream = find_view(name, first);
  if (stream == nullptr) return false;
  drop_partitions(*stream, sequence);
  streams_.erase(streams_.find(name));
  return true;
}

}  // namespace heptane::streams
