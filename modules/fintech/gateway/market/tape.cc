#include "modules/fintech/gateway/market/tape.h"

#include <algorithm>

#include "kernel/net/http/json.h"
#include "kernel/streams/record_batch.h"

namespace heptane::fintech::market {

namespace {

constexpr uint32_t kReadBytes = 128 << 10;

// Every trade of the records from an offset on, as long as `each` says so.
template <class Each>
void for_each_trade(const net::RecordsRead& records, Offset from, Each each) {
  bool goes_on = true;
  for (const Buffer& batch : records.batches) {
    const auto walked = streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
      if (!goes_on || record.offset < from) return;
      goes_on = each(record.offset, trade_of(record.offset, record.timestamp_ms, as_text(record.value)));
    });
    if (!walked || !goes_on) return;
  }
}

}  // namespace

std::optional<Trade> trade_of(Offset offset, int64_t time_ms, std::string_view record) {
  const auto document = http::JsonDocument::parse(std::string(record));
  if (!document) return std::nullopt;
  const http::JsonValue root = (*document)->root();
  const auto text = [&](std::string_view name) {
    const auto value = root.find(name);
    return std::string(value ? value->text() : "");
  };
  Trade trade{offset,        time_ms,          text("trade_id"), text("symbol"),
              text("price"), text("quantity"), text("notional"), text("aggressor")};
  if (text("event") != "trade" || trade.symbol.empty()) return std::nullopt;
  return trade;
}

void TradeTape::watch(WatchId id, Watcher& who, const std::string& symbol, std::optional<Offset> from) {
  readers_[&who].watches.insert(id);
  Watch& watch = watches_[id];
  watch.who = &who;
  watch.symbol = symbol;
  watch.from = from;
  if (!live_) return;
  locate(id, watch);
  go_on();
}

// Where the watch begins: at the end, or where it was asked for.
void TradeTape::locate(WatchId id, Watch& watch) {
  watch.located = true;
  watch.next = watch.from.value_or(next_);
  watch.who->on_trades_from(id, watch.next);
  Reader& reader = readers_[watch.who];
  if (watch.next >= next_) return;
  reader.next = reader.behind ? std::min(reader.next, watch.next) : watch.next;
  reader.behind = true;
}

void TradeTape::unwatch(WatchId id) {
  const auto found = watches_.find(id);
  if (found == watches_.end()) return;
  const auto reader = readers_.find(found->second.who);
  reader->second.watches.erase(id);
  if (reader->second.watches.empty()) readers_.erase(reader);
  watches_.erase(found);
  if (!watches_.empty()) return;
  if (subscription_ != 0 && context_ != nullptr) context_->unsubscribe(subscription_);
  subscription_ = 0;
  reading_ = 0;
  live_ = false;
}

// Where there is no stream yet its first record is the first that is told.
void TradeTape::set_end(const std::optional<streams::PartitionInfo>& partition) {
  if (watches_.empty()) return;
  if (partition) {
    partition_ = partition->id;
    durable_end_ = partition->durable_end;
  }
  if (!live_) {
    live_ = true;
    next_ = partition ? partition->durable_end : 0;
    for (auto& [id, watch] : watches_)
      if (!watch.located) locate(id, watch);
  }
  go_on();
}

void TradeTape::go_on() {
  stuck_ = false;
  read_on();
  for (auto& [who, reader] : readers_) catch_up(*who, reader);
}

void TradeTape::resumed(Watcher& who) {
  const auto reader = readers_.find(&who);
  if (reader == readers_.end()) return;
  reader->second.has_room = true;
  catch_up(who, reader->second);
}

RequestId TradeTape::read(Offset from) {
  ReadRequest request;
  request.partition = partition_;
  request.offset = from;
  request.max_bytes = kReadBytes;
  const bool sent = context_->read(++last_read_, request);
  stuck_ = stuck_ || !sent;
  return sent ? last_read_ : 0;
}

void TradeTape::read_on() {
  if (!live_ || partition_ == kNoPartition || context_ == nullptr || reading_ != 0) return;
  if (next_ < durable_end_) {
    reading_ = read(next_);
  } else if (subscription_ == 0) {
    subscription_ = context_->subscribe(partition_, next_);
    stuck_ = stuck_ || subscription_ == 0;
  }
}

void TradeTape::catch_up(Watcher& who, Reader& reader) {
  if (!reader.behind || reader.reading != 0 || !live_ || partition_ == kNoPartition || context_ == nullptr) return;
  if (reader.next >= next_) {
    reader.behind = false;
    return;
  }
  if (!reader.has_room && !(reader.has_room = who.has_room())) return;
  reader.reading = read(reader.next);
}

void TradeTape::on_advanced(net::SubscriptionId subscription, Offset durable_end) {
  if (subscription != subscription_) return;
  subscription_ = 0;
  durable_end_ = std::max(durable_end_, durable_end);
  read_on();
}

void TradeTape::on_records(RequestId request, const net::RecordsRead& records) {
  stuck_ = stuck_ || records.error.has_value();
  if (!records.error) durable_end_ = std::max(durable_end_, records.durable_end);
  if (request == reading_) {
    reading_ = 0;
    if (!records.error) take_live(records);
    return;
  }
  for (auto& [who, reader] : readers_) {
    if (reader.reading != request) continue;
    reader.reading = 0;
    if (!records.error) take_late(*who, reader, records);
    return;
  }
}

void TradeTape::take_live(const net::RecordsRead& records) {
  for_each_trade(records, next_, [&](Offset offset, const std::optional<Trade>& trade) {
    next_ = offset;
    if (trade) tell(*trade);
    next_ = offset + 1;
    return true;
  });
  go_on();
}

void TradeTape::take_late(Watcher& who, Reader& reader, const net::RecordsRead& records) {
  const Offset end = next_;
  for_each_trade(records, reader.next, [&](Offset offset, const std::optional<Trade>& trade) {
    if (offset >= end || (trade && !tell(who, reader, *trade))) return false;
    reader.next = offset + 1;
    return true;
  });
  catch_up(who, reader);
}

void TradeTape::tell(const Trade& trade) {
  for (auto& [who, reader] : readers_) {
    if (reader.behind || tell(*who, reader, trade)) continue;
    reader.behind = true;
    reader.next = trade.offset;
  }
}

// False: there was no room for it. What was told already is not told again.
bool TradeTape::tell(Watcher& who, Reader& reader, const Trade& trade) {
  for (const WatchId id : reader.watches) {
    Watch& watch = watches_.at(id);
    if (!watch.located || watch.next > trade.offset || watch.symbol != trade.symbol) continue;
    reader.has_room = who.has_room();
    if (!reader.has_room) return false;
    who.on_trade(id, trade);
    watch.next = trade.offset + 1;
  }
  return true;
}

}  // namespace heptane::fintech::market
