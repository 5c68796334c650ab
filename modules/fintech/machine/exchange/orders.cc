#include "modules/fintech/machine/exchange/orders.h"

#include "kernel/base/assert.h"

namespace heptane::fintech::exchange {

namespace {

constexpr size_t kOrderBytesMax = size_t{8} << 10;
constexpr uint64_t kOrderBytes = 480;      // with its places in the maps
constexpr uint64_t kBookOrderBytes = 230;  // of an open one, in its book (book/README.md)
constexpr uint64_t kClientBytes = 144;     // a ClOrdID of the day

}  // namespace

Order* Orders::find(uint64_t id) {
  const auto found = orders_.find(id);
  return found == orders_.end() ? nullptr : &found->second;
}

const Order* Orders::find_client(uint32_t firm, const std::string& client_id) const {
  if (const auto open = clients_.find({firm, client_id}); open != clients_.end()) return find(open->second);
  if (used_.empty()) return nullptr;
  const auto used = used_.find({std::get<0>(used_.rbegin()->first), firm, client_id});
  return used == used_.end() ? nullptr : find(used->second);
}

bool Orders::taken(uint32_t firm, const std::string& client_id, LogTime now) const {
  return clients_.contains({firm, client_id}) || used_.contains({trade_date(now), firm, client_id});
}

uint32_t Orders::used(uint32_t firm, LogTime now) const {
  const auto found = counts_.find({trade_date(now), firm});
  return found == counts_.end() ? 0 : found->second;
}

void Orders::use(DatedClient client, uint64_t order) {
  const std::pair counted(std::get<0>(client), std::get<1>(client));
  if (used_.emplace(std::move(client), order).second) ++counts_[counted];
}

void Orders::forget(LogTime now, size_t most) {
  for (; most > 0 && !used_.empty(); --most) {
    const auto& [day, firm, client_id] = used_.begin()->first;
    if (day >= trade_date(now)) return;
    const auto count = counts_.find({day, firm});
    if (--count->second == 0) counts_.erase(count);
    used_.erase(used_.begin());
  }
}

LogTime Orders::forgets_at() const { return used_.empty() ? 0 : (std::get<0>(used_.begin()->first) + 1) * kDayNs; }

void Orders::index(const Order& order) {
  open_.emplace(order.account, order.id);
  clients_.emplace(Client{order.firm, order.client_id}, order.id);
  if (order.expires_at == 0) return;
  due_.emplace(order.expires_at, order.id);
  due_of_.emplace(order.instrument, order.expires_at, order.id);
}

bool Orders::overdue(uint32_t instrument, LogTime now) const {
  const auto first = due_of_.lower_bound({instrument, 0, 0});
  return first != due_of_.end() && std::get<0>(*first) == instrument && std::get<1>(*first) <= now;
}

Order& Orders::add(Order order, LogTime now) {
  HEPTANE_ASSERT(order.id == next_id_, "orders are numbered in their order");
  ++next_id_;
  use({trade_date(now), order.firm, order.client_id}, order.id);
  index(order);
  const uint64_t id = order.id;
  return orders_.emplace(id, std::move(order)).first->second;
}

void Orders::rename(Order& order, const std::string& client_id, LogTime now) {
  clients_.erase({order.firm, order.client_id});
  order.client_id = client_id;
  clients_.emplace(Client{order.firm, order.client_id}, order.id);
  use({trade_date(now), order.firm, order.client_id}, order.id);
}

void Orders::end(Order& order, OrderStatus status) {
  open_.erase({order.account, order.id});
  clients_.erase({order.firm, order.client_id});
  due_.erase({order.expires_at, order.id});
  due_of_.erase({order.instrument, order.expires_at, order.id});
  order.status = status;
  ended_.push_back(order.id);
  if (ended_.size() <= kEndedKept) return;
  orders_.erase(ended_.front());
  ended_.pop_front();
}

uint64_t Orders::memory_bytes() const {
  return orders_.size() * kOrderBytes + open_.size() * kBookOrderBytes + used_.size() * kClientBytes;
}

void Orders::save(SnapshotWriter& writer) const {
  writer.le(next_id_);
  writer.le(static_cast<uint64_t>(orders_.size()));
  for (const auto& [id, order] : orders_) writer.blob(packed(order).view());
  writer.le(static_cast<uint64_t>(ended_.size()));
  for (const uint64_t id : ended_) writer.le(id);
  writer.le(static_cast<uint64_t>(used_.size()));
  for (const auto& [key, id] : used_) {
    writer.le(std::get<0>(key));
    writer.le(std::get<1>(key));
    writer.text(std::get<2>(key));
    writer.le(id);
  }
}

Result<void> Orders::restore(SnapshotReader& reader) {
  next_id_ = reader.le<uint64_t>();
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    const std::string bytes = reader.text(kOrderBytesMax);
    std::optional<Order> order = reader.failed() ? std::nullopt : unpacked<Order>(as_bytes(bytes));
    if (!order || order->id >= next_id_) {
      reader.fail();
      break;
    }
    const auto [at, added] = orders_.emplace(order->id, std::move(*order));
    if (!added) reader.fail();
    if (at->second.status == OrderStatus::open) index(at->second);
  }
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count)
    ended_.push_back(reader.le<uint64_t>());
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    const auto day = reader.le<int64_t>();
    const auto firm = reader.le<uint32_t>();
    std::string client_id = reader.text(kClientIdMax);
    use({day, firm, std::move(client_id)}, reader.le<uint64_t>());
  }
  if (orders_.size() != open_.size() + ended_.size()) reader.fail();
  if (reader.failed()) return Error{Errc::corrupt, "the exchange's orders do not read back"};
  return {};
}

}  // namespace heptane::fintech::exchange
