#include "kernel/net/io_loop.h"

#include <algorithm>
#include <utility>

#include "kernel/base/assert.h"
#include "kernel/net/tls_stream.h"

namespace heptane::net {

namespace {
constexpr size_t kAdvancesPerTurn = 4096;
constexpr size_t kEvictionsPerTurn = 16;

// The stream of a resident session: nothing ever comes, what is written is gone.
class NoPeer final : public Stream {
 public:
  void set_events(StreamEvents* events) override { (void)events; }
  IoResult read_some(MutableBytes into) override {
    (void)into;
    return {closing_ ? IoStatus::closed : IoStatus::would_block, 0};
  }
  IoResult write_some(std::span<const Bytes> pieces) override {
    IoResult taken;
    for (const Bytes piece : pieces) taken.bytes += piece.size();
    return taken;
  }
  void want_read() override {}
  void want_write() override {}
  void shutdown_write() override { closing_ = true; }
  const Address& local() const override { return nowhere_; }
  const Address& remote() const override { return nowhere_; }

 private:
  Address nowhere_;
  bool closing_ = false;
};

int64_t earlier(int64_t one, int64_t other) {
  if (one < 0 || other < 0) return std::max(one, other);
  return std::min(one, other);
}
}  // namespace

IoLoop::IoLoop(Net& net, Clock& clock, ShardLink& link, RecordsReader& reader, IoLoopConfig config)
    : net_(net), reader_(reader), core_(clock, link, std::move(config)) {}

IoLoop::~IoLoop() {
  for (const auto& listener : listeners_) listener->listener.reset();
  for (const auto& [id, outbound] : outbounds_) outbound->stop();
  // One by one: a session that ends may stop an outbound connection, which looks at all that are left.
  while (!connections_.empty()) connections_.extract(connections_.begin());
}

Result<uint16_t> IoLoop::add_listener(Protocol& protocol, const Address& address, ListenerOptions options) {
  auto state = std::make_unique<ListenerState>(protocol, next_index_++, std::move(options));
  auto opened = net_.listen(
      address, [this, raw = state.get()](std::unique_ptr<Stream> stream) { accept(*raw, std::move(stream)); });
  if (!opened) return std::move(opened.error());
  state->listener = std::move(*opened);
  const uint16_t port = state->listener->port();
  listeners_.push_back(std::move(state));
  return port;
}

SessionId IoLoop::add_outbound(Protocol& protocol, OutboundOptions options) {
  HEPTANE_ASSERT(core_.config.random != nullptr, "outbound connections need a source of chance");
  auto state = std::make_unique<ListenerState>(protocol, next_index_++, ListenerOptions{});
  state->encrypted = options.tls != nullptr;
  const SessionId id = take_session_id();
  auto outbound = std::make_unique<Outbound>(
      core_, net_, *core_.config.random, *state, id, std::move(options),
      [this](ListenerState& from, std::unique_ptr<Stream> stream) { adopt(from, std::move(stream)); });
  state->outbound = outbound.get();
  listeners_.push_back(std::move(state));
  Outbound& added = *outbound;
  outbounds_.emplace(id, std::move(outbound));
  if (core_.draining)
    added.stop();
  else
    added.begin();
  return id;
}

void IoLoop::stop_outbound(SessionId outbound) {
  const auto found = outbounds_.find(outbound);
  if (found == outbounds_.end()) return;
  found->second->stop();
  const ListenerState& state = found->second->state();
  for (const auto& [id, connection] : connections_)
    if (&connection->listener() == &state) connection->close(CloseReason::session_closed, "it is not wanted any more");
}

void IoLoop::begin_outbound(SessionId outbound) {
  const auto found = outbounds_.find(outbound);
  if (found != outbounds_.end() && !core_.draining) found->second->again();
}

void IoLoop::add_resident(Protocol& protocol) {
  auto state = std::make_unique<ListenerState>(protocol, next_index_++, ListenerOptions{});
  state->resident = true;
  ListenerState& listener = *state;
  listeners_.push_back(std::move(state));
  adopt(listener, std::make_unique<NoPeer>());
}

Result<uint16_t> IoLoop::add_datagrams(DatagramProtocol& protocol, const Address& address) {
  Result<std::unique_ptr<DatagramSocket>> socket = net_.datagrams(address);
  if (!socket) return std::move(socket.error());
  const uint16_t port = (*socket)->local().port;
  const SessionId id = take_session_id();
  auto endpoint = std::make_unique<DatagramEndpoint>(core_, protocol, std::move(*socket), id, next_index_++);
  endpoint->open();
  datagrams_.emplace(id, std::move(endpoint));
  return port;
}

SessionId IoLoop::take_session_id() {
  const SessionId id = core_.next_session;
  core_.next_session += core_.config.session_step;
  return id;
}

void IoLoop::accept(ListenerState& listener, std::unique_ptr<Stream> stream) {
  core_.counters.accepted.add();
  // Counted with those that we make ourselves.
  const bool room =
      !core_.draining && connections_.size() < core_.config.max_connections && listener.room_for(stream->remote().host);
  if (!room) return refuse(listener, *stream);
  if (listener.encrypted)
    stream = make_tls_server_stream(std::move(stream), listener.options.tls->current(), listener.protocol.alpn());
  adopt(listener, std::move(stream));
}

// In the protocol's own words where it has any; over TLS they would cost the handshake that there is no room for.
void IoLoop::refuse(ListenerState& listener, Stream& stream) {
  core_.counters.refused.add();
  const Bytes words = as_bytes(listener.protocol.refusal());
  if (words.empty() || listener.encrypted) return;
  (void)stream.write_some({&words, 1});
  stream.shutdown_write();
}

void IoLoop::adopt(ListenerState& listener, std::unique_ptr<Stream> stream) {
  core_.now_ns = core_.clock.monotonic_ns();
  const SessionId id = take_session_id();
  auto connection = std::make_unique<Connection>(core_, listener, id, std::move(stream));
  Connection& opened = *connection;
  connections_.emplace(id, std::move(connection));
  if (!listener.resident) core_.counters.open.add();
  listener.count(opened.remote().host);
  opened.open();
}

Connection* IoLoop::find(SessionId session) {
  const auto found = connections_.find(session);
  return found == connections_.end() ? nullptr : found->second.get();
}

bool IoLoop::has_work() const {
  for (const auto& [id, endpoint] : datagrams_)
    if (endpoint->readable() && !core_.draining) return true;
  return link_backlog_ || !core_.ready.empty() || !core_.dirty.empty() || core_.subscriptions.any_due();
}

bool IoLoop::stopped() const {
  const bool answered = std::all_of(datagrams_.begin(), datagrams_.end(),
                                    [](const auto& item) { return item.second->outstanding() == 0; });
  const bool in_time = core_.clock.monotonic_ns() < drain_deadline_ns_;
  return core_.draining && connections_.empty() && (answered || !in_time);
}

int64_t IoLoop::next_deadline_ns() const {
  if (has_work()) return 0;
  int64_t next = core_.timers.next_due_ns();
  for (const auto& listener : listeners_)
    if (listener->idle_timeout_ns > 0 && listener->activity.head != nullptr)
      next = earlier(next, listener->activity.head->active_ns() + listener->idle_timeout_ns);
  if (core_.draining && !stopped()) next = earlier(next, drain_deadline_ns_);
  return next;
}

void IoLoop::run_once(int64_t max_wait_ns) {
  int64_t deadline = next_deadline_ns();
  if (max_wait_ns >= 0 && deadline != 0) deadline = earlier(deadline, core_.clock.monotonic_ns() + max_wait_ns);
  net_.run_once(deadline);
  core_.now_ns = core_.clock.monotonic_ns();
  link_backlog_ = false;
  read_bytes_ = 0;

  process_input();
  process_datagrams();
  drain_gated();
  drain_reads();
  drain_work();
  drain_open();
  core_.evictions_left = link_backlog_ ? 0 : kEvictionsPerTurn;
  deliver_advances();
  run_timers();
  close_idle();
  cut_off();
  process_input();  // of connections that may go on
  settle();
  core_.arm_watches();
  if (std::exchange(core_.wake_wanted, false) && core_.link.wake_shard) core_.link.wake_shard();
}

void IoLoop::process_input() {
  core_.take_ready(round_);
  for (Connection* connection : round_) connection->process_input();
  round_.clear();
}

void IoLoop::process_datagrams() {
  if (core_.draining) return;
  for (const auto& [id, endpoint] : datagrams_)
    if (endpoint->readable()) endpoint->process();
}

// Invariant 1: what was computed from a command leaves only when that command is synced.
void IoLoop::drain_gated() {
  const Sequence synced = core_.link.watermark.load(std::memory_order_acquire);
  for (size_t left = core_.link.gated.capacity(); left > 0; --left) {
    ShardReply* front = core_.link.gated.front();
    if (front == nullptr || front->gate > synced) return;
    ShardReply reply = std::move(*front);
    core_.link.gated.pop();
    dispatch(reply);
  }
  link_backlog_ = true;
}

void IoLoop::drain_open() {
  for (size_t left = core_.link.open.capacity(); left > 0; --left) {
    ShardReply* front = core_.link.open.front();
    if (front == nullptr) return;
    if (read_bytes_ >= core_.config.read_bytes_per_turn) break;
    ShardReply reply = std::move(*front);
    core_.link.open.pop();
    dispatch(reply);
  }
  link_backlog_ = true;
}

void IoLoop::dispatch(ShardReply& reply) {
  if (const auto* advanced = std::get_if<Advanced>(&reply.body))
    return core_.subscriptions.advanced(advanced->subscription, advanced->durable_end);
  if (auto* read = std::get_if<ReadReply>(&reply.body)) return dispatch_read(reply, *read);
  HEPTANE_ASSERT(core_.gated_unanswered > 0, "the shard answered what nobody asked");
  --core_.gated_unanswered;
  if (!core_.answer_watches.under_way.empty()) tell_watch(reply);
  if (Connection* connection = find(reply.session))
    connection->deliver(reply.request, std::get<Reply>(reply.body));
  else if (const auto found = datagrams_.find(reply.session); found != datagrams_.end())
    found->second->deliver(reply.request, std::get<Reply>(reply.body));
  else
    core_.counters.replies_dropped.add();
}

void IoLoop::watch_answers(MachineId machine, CommandType type,
                           std::function<void(const Buffer& payload, const Reply& reply)> told) {
  core_.answer_watches.watches.emplace(std::pair(machine, type), std::move(told));
}

void IoLoop::tell_watch(const ShardReply& reply) {
  auto& under_way = core_.answer_watches.under_way;
  const auto found = under_way.find({reply.session, reply.request});
  if (found == under_way.end()) return;
  const AnswerWatches::UnderWay asked = std::move(found->second);
  under_way.erase(found);
  (*asked.told)(asked.payload, std::get<Reply>(reply.body));
}

void IoLoop::dispatch_read(const ShardReply& reply, ReadReply& read) {
  HEPTANE_ASSERT(core_.reads_unanswered > 0, "the shard answered what nobody asked");
  Connection* connection = find(reply.session);
  if (connection == nullptr || !connection->wants_records()) return answer_read(reply.session, reply.request, {});
  if (read.error) {
    const RecordsRead refusal{read.error, read.partition, read.offset, read.log_start, read.durable_end, {}};
    return answer_read(reply.session, reply.request, refusal);
  }
  if (const std::optional<RecordsRead> records = reader_.try_read(read)) {
    // Looked through, whatever came of it.
    if (read.view)
      for (const Extent& extent : read.extents) read_bytes_ += extent.end - extent.begin;
    return answer_read(reply.session, reply.request, *records);
  }
  held_.push_back({reply.session, reply.request, std::move(read)});
  submit_held();
}

void IoLoop::answer_read(SessionId session, RequestId request, const RecordsRead& records) {
  --core_.reads_unanswered;
  for (const Buffer& batch : records.batches) read_bytes_ += batch.size();
  Connection* connection = find(session);
  if (connection == nullptr || !connection->wants_records()) return core_.counters.replies_dropped.add();
  connection->deliver(request, records);
}

void IoLoop::submit_held() {
  while (!held_.empty() && reader_.submit(held_.front())) held_.pop_front();
}

// What readers have read, in whatever order it was done.
void IoLoop::drain_reads() {
  while (read_bytes_ < core_.config.read_bytes_per_turn) {
    const std::optional<ReadDone> done = reader_.take_done();
    if (!done) return submit_held();
    answer_read(done->session, done->request, done->records);
  }
  submit_held();
  link_backlog_ = true;
}

void IoLoop::drain_work() {
  if (core_.config.workers == nullptr) return;
  while (const std::optional<WorkDone> done = core_.config.workers->take_done()) {
    if (Connection* connection = find(done->session))
      connection->deliver_worked(*done);
    else
      core_.counters.replies_dropped.add();
  }
}

void IoLoop::deliver_advances() {
  for (size_t left = kAdvancesPerTurn; left > 0; --left) {
    const auto due = core_.subscriptions.pop_due();
    if (!due) return;
    if (Connection* connection = find(due->session)) connection->deliver_advanced(due->subscription, due->durable_end);
  }
}

void IoLoop::run_timers() {
  // A timer armed by one of these fires in the next turn at the earliest.
  for (size_t left = core_.timers.size(); left > 0; --left) {
    const auto due = core_.timers.pop_due(core_.now_ns);
    if (!due) return;
    if (Connection* connection = find(due->session))
      connection->deliver_timer(due->timer);
    else
      deliver_timer_elsewhere(due->session, due->timer);
  }
}

void IoLoop::deliver_timer_elsewhere(SessionId session, SessionTimerId timer) {
  if (const auto outbound = outbounds_.find(session); outbound != outbounds_.end())
    outbound->second->on_timer();
  else if (const auto endpoint = datagrams_.find(session); endpoint != datagrams_.end())
    endpoint->second->deliver_timer(timer);
}

void IoLoop::close_idle() {
  for (const auto& listener : listeners_) {
    if (listener->idle_timeout_ns <= 0) continue;
    while (Connection* oldest = listener->activity.head) {
      if (core_.now_ns - oldest->active_ns() < listener->idle_timeout_ns) break;
      oldest->expire_idle();  // moves it to the young end
    }
  }
}

void IoLoop::shutdown(int64_t deadline_ns) {
  drain_deadline_ns_ = deadline_ns;
  if (std::exchange(core_.draining, true)) return;
  for (const auto& listener : listeners_) listener->listener.reset();
  for (const auto& [id, outbound] : outbounds_) outbound->stop();
  for (const auto& [id, connection] : connections_) core_.queue_dirty(*connection);
}

void IoLoop::cut_off() {
  if (!core_.draining || core_.now_ns < drain_deadline_ns_) return;
  for (const auto& [id, connection] : connections_) connection->abort(CloseReason::shutdown);
}

void IoLoop::settle() {
  core_.take_dirty(round_);
  core_.residents_end = core_.counters.open.value() == 0;
  for (Connection* connection : round_) {
    connection->settle();
    if (!connection->dead()) continue;
    ListenerState& listener = connection->listener();
    if (!listener.resident) core_.counters.open.subtract();
    const bool was_open = connection->was_open();
    listener.discount(connection->remote().host);
    connections_.erase(connection->id());
    if (listener.outbound != nullptr) listener.outbound->on_closed(was_open, listener.why_closed);
    if (core_.draining && core_.counters.open.value() == 0) end_residents();
  }
  round_.clear();
}

// They end behind all others.
void IoLoop::end_residents() {
  for (const auto& [id, connection] : connections_)
    if (connection->listener().resident) core_.queue_dirty(*connection);
}

}  // namespace heptane::net
