#include "modules/fintech/gateway/market/tape.h"

#include <algorithm>
#include <utility>

#include "kernel/net/http/json.h"
#include "kernel/streams/record_batch.h"

namespace heptane::fintech::market {

namespace {

constexpr uint32_t kReadBytes = 128 << 10;

std::optional<TradeEvent> event_of(std::string_view name) {
  if (name == "trade") return TradeEvent::trade;
  if (name == "busted") return TradeEvent::busted;
  if (name == "corrected") return TradeEvent::corrected;
  return std::nullopt;
}

size_t bytes_of(const net::RecordsRead& records) {
  size_t bytes = 0;
  for (const Buffer& batch : records.batches) bytes += batch.view().size();
  return bytes;
}

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
  const std::optional<TradeEvent> event = event_of(text("event"));
  if (!event) return std::nullopt;
  Trade trade{*event,        offset,           time_ms,          text("trade_id"),  text("symbol"),
              text("price"), text("quantity"), text("notional"), text("aggressor"), text("corrects")};
  if (trade.symbol.empty()) return std::nullopt;
  return trade;
}

void TradeTape::open(net::SessionContext& context) {
  context_ = &context;
  go_on();
}

void TradeTape::close() {
  context_ = nullptr;
  reading_ = 0;
  subscription_ = 0;
  stuck_ = false;
  turns_.clear();
  late_ones_.clear();
  for (auto& [who, reader] : readers_) {
    reader.reading = 0;
    reader.waits = false;
  }
}

void TradeTape::watch(WatchId id, Watcher& who, const std::string& symbol, std::optional<Offset> from) {
  ++readers_[&who].watches;
  by_symbol_[symbol][&who].push_back(id);
  Watch& watch = watches_[id];
  watch.who = &who;
  watch.symbol = symbol;
  watch.from = from;
  if (!live_) return;
  locate(id, watch);
  go_on();
}

// Where the watch begins: at the end, or where it was asked for. A read that is under way may have been asked for from behind that:
// take_late() looks.
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
  const Watch watch = std::move(found->second);
  watches_.erase(found);
  const auto reader = readers_.find(watch.who);
  if (--reader->second.watches == 0) readers_.erase(reader);
  const auto of_symbol = by_symbol_.find(watch.symbol);
  const auto ids = of_symbol->second.find(watch.who);
  std::erase(ids->second, id);
  if (ids->second.empty()) of_symbol->second.erase(ids);
  if (of_symbol->second.empty()) by_symbol_.erase(of_symbol);
  if (!watches_.empty()) return;
  if (subscription_ != 0 && context_ != nullptr) context_->unsubscribe(subscription_);
  subscription_ = 0;
  reading_ = 0;
  failures_ = 0;
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
  if (!reader.waits && wants_to_read(who, reader)) {
    reader.waits = true;
    turns_.push_back(&who);
  }
  read_late();
}

bool TradeTape::wants_to_read(Watcher& who, Reader& reader) {
  if (!reader.behind || reader.reading != 0 || !live_ || partition_ == kNoPartition || context_ == nullptr)
    return false;
  if (reader.next >= next_) {
    reader.behind = false;
    return false;
  }
  return reader.has_room || (reader.has_room = who.has_room());
}

// Those whose turn it is.
void TradeTape::read_late() {
  while (late_ones_.size() < kLateReadsMax && !turns_.empty()) {
    Watcher* const who = turns_.front();
    turns_.pop_front();
    const auto found = readers_.find(who);
    if (found == readers_.end()) continue;
    Reader& reader = found->second;
    reader.waits = false;
    if (!wants_to_read(*who, reader)) continue;
    reader.asked = reader.next;
    reader.reading = read(reader.next);
    if (reader.reading != 0) late_ones_.emplace(reader.reading, who);
  }
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
    return records.error ? fail_live() : take_live(records);
  }
  const auto late = late_ones_.find(request);
  if (late == late_ones_.end()) return;
  const auto found = readers_.find(late->second);
  late_ones_.erase(late);
  if (found != readers_.end() && found->second.reading == request) {
    found->second.reading = 0;
    if (records.error)
      fail_late(*found->first, found->second);
    else
      take_late(*found->first, found->second, records);
  }
  read_late();
}

void TradeTape::take_live(const net::RecordsRead& records) {
  failures_ = 0;
  for_each_trade(records, next_, [&](Offset offset, const std::optional<Trade>& trade) {
    next_ = offset;
    if (trade) tell(*trade);
    next_ = offset + 1;
    return true;
  });
  go_on();
}

// It is told first and paid for then, so that who owes for each read goes on all the same.
void TradeTape::take_late(Watcher& who, Reader& reader, const net::RecordsRead& records) {
  reader.failures = 0;
  tell_late(who, reader, records);
  who.on_read(bytes_of(records));
  reader.has_room = who.has_room();
  catch_up(who, reader);
}

// What was asked for from behind where somebody wants to begin by now is asked for anew.
void TradeTape::tell_late(Watcher& who, Reader& reader, const net::RecordsRead& records) {
  if (reader.asked > reader.next) return;
  const Offset end = next_;
  for_each_trade(records, reader.next, [&](Offset offset, const std::optional<Trade>& trade) {
    if (offset >= end) return false;
    const std::vector<WatchId>* const ids = trade ? ids_of(trade->symbol, who) : nullptr;
    if (ids != nullptr && !tell(who, reader, *ids, *trade)) return false;
    reader.next = offset + 1;
    return true;
  });
}

const std::vector<WatchId>* TradeTape::ids_of(std::string_view symbol, Watcher& who) const {
  const auto of_symbol = by_symbol_.find(symbol);
  if (of_symbol == by_symbol_.end()) return nullptr;
  const auto ids = of_symbol->second.find(&who);
  return ids == of_symbol->second.end() ? nullptr : &ids->second;
}

// All trades that come are behind what cannot be read.
void TradeTape::fail_live() {
  if (++failures_ < kFailuresMax) return;
  failures_ = 0;
  for (const auto& [id, watch] : watches_) lost_.push_back(id);
}

// Those that begin behind it go on.
void TradeTape::fail_late(Watcher& who, Reader& reader) {
  if (++reader.failures < kFailuresMax) return;
  reader.failures = 0;
  Offset next = next_;
  for (const auto& [id, watch] : watches_) {
    if (watch.who != &who || !watch.located) continue;
    if (watch.next <= reader.next)
      lost_.push_back(id);
    else
      next = std::min(next, watch.next);
  }
  reader.next = next;
}

void TradeTape::tell(const Trade& trade) {
  const auto of_symbol = by_symbol_.find(trade.symbol);
  if (of_symbol == by_symbol_.end()) return;
  for (const auto& [who, ids] : of_symbol->second) {
    Reader& reader = readers_.at(who);
    if (reader.behind || tell(*who, reader, ids, trade)) continue;
    reader.behind = true;
    reader.next = trade.offset;
  }
}

// False: there was no room for it. What was told already is not told again.
bool TradeTape::tell(Watcher& who, Reader& reader, const std::vector<WatchId>& ids, const Trade& trade) {
  for (const WatchId id : ids) {
    Watch& watch = watches_.at(id);
    if (!watch.located || watch.next > trade.offset) continue;
    reader.has_room = who.has_room();
    if (!reader.has_room) return false;
    who.on_trade(id, trade);
    watch.next = trade.offset + 1;
  }
  return true;
}

}  // namespace heptane::fintech::market
