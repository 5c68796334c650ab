#include "modules/fintech/machine/ledger/client_sessions.h"

#include <algorithm>

namespace heptane::fintech {

namespace {

void write_id(SnapshotWriter& writer, Uint128 id) {
  writer.le(static_cast<uint64_t>(id));
  writer.le(static_cast<uint64_t>(id >> 64));
}

Uint128 read_id(SnapshotReader& reader) {
  const auto low = reader.le<uint64_t>();
  return low | (Uint128{reader.le<uint64_t>()} << 64);
}

}  // namespace

const ClientSession* ClientSessions::find(Uint128 client) const {
  const auto found = sessions_.find(client);
  return found == sessions_.end() ? nullptr : &found->second;
}

void ClientSessions::add(Uint128 client, ClientSession session, size_t most) {
  while (!sessions_.empty() && sessions_.size() >= most) {
    const auto last_use = [](const auto& row) { return std::max(row.second.used, row.second.touched); };
    const auto oldest = std::min_element(sessions_.begin(), sessions_.end(),
                                         [&](const auto& a, const auto& b) { return last_use(a) < last_use(b); });
    remember(oldest->first);
    sessions_.erase(oldest);
  }
  put(client, std::move(session));
}

void ClientSessions::put(Uint128 client, ClientSession session) {
  remember(client);
  sessions_[client] = std::move(session);
}

void ClientSessions::remember(Uint128 client) {
  if (marks_.empty()) return;
  const auto found = sessions_.find(client);
  if (found == sessions_.end())
    undo_.emplace_back([this, client] { sessions_.erase(client); });
  else
    undo_.emplace_back([this, client, before = found->second] { sessions_[client] = before; });
}

void ClientSessions::close_scope(bool keep) {
  const size_t mark = marks_.back();
  marks_.pop_back();
  if (!keep)
    for (; undo_.size() > mark; undo_.pop_back()) undo_.back()();
  if (marks_.empty()) undo_.clear();
}

uint64_t ClientSessions::memory_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [client, session] : sessions_) bytes += sizeof(ClientSession) + session.reply.size();
  return bytes;
}

void ClientSessions::save(SnapshotWriter& writer) const {
  writer.le(static_cast<uint32_t>(sessions_.size()));
  for (const auto& [client, session] : sessions_) {
    write_id(writer, client);
    writer.le(session.number);
    writer.le(session.used);
    write_id(writer, session.checksum);
    writer.le(session.timestamp);
    writer.le(session.request);
    writer.le(session.release);
    writer.blob(session.reply.view());
  }
}

bool ClientSessions::restore(SnapshotReader& reader) {
  sessions_.clear();
  for (auto count = reader.le<uint32_t>(); count > 0 && !reader.failed(); --count) {
    const Uint128 client = read_id(reader);
    ClientSession session;
    session.number = reader.le<uint64_t>();
    session.used = reader.le<uint64_t>();
    session.checksum = read_id(reader);
    session.timestamp = reader.le<uint64_t>();
    session.request = reader.le<uint32_t>();
    session.release = reader.le<uint32_t>();
    session.reply = Buffer::take(reader.text(kBodyBytesMax));
    sessions_[client] = std::move(session);
  }
  return !reader.failed();
}

bool ClientSessions::touched() const {
  return std::any_of(sessions_.begin(), sessions_.end(), [](const auto& row) { return row.second.touched != 0; });
}

void ClientSessions::save_touches(SnapshotWriter& writer) const {
  for (const auto& [client, session] : sessions_) writer.le(session.touched);
}

bool ClientSessions::restore_touches(SnapshotReader& reader) {
  for (auto& [client, session] : sessions_) session.touched = reader.le<uint64_t>();
  return !reader.failed();
}

}  // namespace heptane::fintech
