#include "modules/iot/machine/seen.h"

#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/machine/broker_machine.h"
#include "modules/iot/machine/texts.h"

namespace heptane::iot {

namespace {

constexpr size_t kClientBytes = 12;  // in a command, without texts
constexpr uint64_t kRowBytes = 256;  // in memory, without texts

uint64_t bytes_of(std::string_view client, std::string_view user) {
  return kRowBytes + 2 * client.size() + user.size();
}

}  // namespace

void append_seen(ByteWriter& out, const SeenClient& seen) {
  out.le<int64_t>(seen.utc_ms);
  put_text(out, seen.client);
  put_text(out, seen.user);
}

std::optional<std::vector<SeenClient>> decode_seen(Bytes payload) {
  ByteReader in(payload);
  const auto count = in.le<uint16_t>();
  if (count == 0 || count > kSeenMax || !in.fits(count, kClientBytes)) return std::nullopt;
  std::vector<SeenClient> all;
  all.reserve(count);
  for (uint16_t i = 0; i < count && !in.failed(); ++i) {
    SeenClient seen;
    seen.utc_ms = in.le<int64_t>();
    seen.client = get_text(in, kClientLimitBytes);
    seen.user = get_text(in, kSeenUserBytes);
    all.push_back(seen);
  }
  if (!in.complete()) return std::nullopt;
  return all;
}

void SeenClients::forget(Clients::iterator client) {
  order_.erase({client->second.utc_ms, client->first});
  bytes_ -= bytes_of(client->first, client->second.user);
  clients_.erase(client);
}

void SeenClients::put(const SeenClient& seen) {
  if (const auto there = clients_.find(seen.client); there != clients_.end()) {
    if (there->second.utc_ms > seen.utc_ms) return;  // told late
    forget(there);
  }
  clients_.emplace(seen.client, Row{seen.utc_ms, std::string(seen.user)});
  order_.emplace(seen.utc_ms, seen.client);
  bytes_ += bytes_of(seen.client, seen.user);
  if (clients_.size() > kSeenClientsMax) forget(clients_.find(order_.begin()->second));
}

std::optional<SeenClient> SeenClients::find(std::string_view client) const {
  const auto found = clients_.find(client);
  if (found == clients_.end()) return std::nullopt;
  return SeenClient{found->second.utc_ms, found->first, found->second.user};
}

void SeenClients::save(SnapshotWriter& writer) const {
  writer.le<uint64_t>(clients_.size());
  for (const auto& [client, row] : clients_) {
    writer.text(client);
    writer.le<int64_t>(row.utc_ms);
    writer.text(row.user);
  }
}

Result<void> SeenClients::restore(SnapshotReader& reader) {
  *this = {};
  const auto count = reader.le<uint64_t>();
  for (uint64_t i = 0; i < count && !reader.failed(); ++i) {
    const std::string client = reader.text(kClientLimitBytes);
    const auto utc_ms = reader.le<int64_t>();
    const std::string user = reader.text(kSeenUserBytes);
    if (!reader.failed()) put({utc_ms, client, user});
  }
  if (reader.failed() || clients_.size() != count)
    return Error{Errc::corrupt, "what the broker knows of clients that were seen is cut off"};
  return {};
}

void BrokerMachine::apply_seen(const Command& command, Effects& effects) {
  if (!scopes_.empty()) return effects.refuse(Errc::unsupported, 0, "who was seen is in no transaction");
  const auto seen = decode_seen(command.payload);
  if (!seen) return effects.refuse(Errc::invalid_argument, 0, "the command is no list of clients");
  if (version_ < kLogicReturns) return effects.unchanged(0, 0);  // a server before this one does not know the command
  for (const SeenClient& one : *seen) seen_.put(one);
  effects.reply(static_cast<int64_t>(seen_.size()));
}

void BrokerMachine::query_seen(const Query& query, Reply& reply) const {
  const auto seen = seen_.find(as_text(query.payload));
  if (!seen) return;
  reply.numbers = {seen->utc_ms, 1};
  reply.payload = Buffer::copy_of(as_bytes(seen->user));
}

}  // namespace heptane::iot
