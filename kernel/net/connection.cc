#include "kernel/net/connection.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kernel/base/assert.h"

namespace heptane::net {

namespace {
constexpr size_t kReadBudgetBytes = 4 * kReadBytes;  // of one connection and turn, so that the others get theirs
constexpr size_t kPiecesPerWrite = 64;
}  // namespace

Connection::Connection(LoopCore& core, ListenerState& listener, SessionId id, std::unique_ptr<Stream> stream)
    : core_(core), listener_(listener), id_(id), stream_(std::move(stream)) {
  stream_->set_events(this);
  touch();
}

Connection::~Connection() {
  begin_close(CloseReason::shutdown, "the server stops");
  end_session();
  core_.timers.cancel_all(id_);
  leave_activity_list();
  core_.kept_bytes -= kept_counted_;
  core_.forget(*this);
}

void Connection::open() {
  shake_hands();
  if (phase_ == Phase::handshake)
    core_.timers.arm(id_, kHandshakeTimer, core_.now_ns + listener_.options.handshake_timeout_ns);
  else if (!input_blocked())
    arm_read();
  else
    input_stopped_ = true;
}

void Connection::shake_hands() {
  switch (stream_->handshake()) {
    case IoStatus::ok: return start_session();
    case IoStatus::would_block: return arm_read();
    case IoStatus::failed: return fail(stream_->failure());
    case IoStatus::closed:
    case IoStatus::reset: core_.counters.tls_failed.add(); return abort(CloseReason::peer_reset);
  }
}

void Connection::start_session() {
  if (listener_.encrypted) {
    core_.timers.cancel(id_, kHandshakeTimer);
    const bool surely = listener_.options.preamble == nullptr;  // else a client may have kept to plain bytes
    if (surely || stream_->tls() != nullptr) core_.counters.tls_handshakes.add();
  }
  session_ = listener_.protocol.open(remote());
  if (session_ == nullptr) {
    core_.counters.refused.add();
    return abort(CloseReason::session_closed);
  }
  phase_ = Phase::open;
  was_open_ = true;
  session_->on_open(*this);
}

// The peer broke TLS. What it is told must reach it: the connection lingers.
void Connection::fail(std::string_view why) {
  core_.counters.tls_failed.add();
  begin_close(CloseReason::protocol_error, why);
  output_.clear(core_.spares);
}

// Input.

void Connection::on_readable() {
  read_armed_ = false;
  readable_ = true;
  core_.queue_ready(*this);
}

void Connection::arm_read() {
  if (peer_eof_ || std::exchange(read_armed_, true)) return;
  stream_->want_read();
}

bool Connection::input_blocked() const {
  return phase_ != Phase::open || paused_ || above_mark_ || outstanding_ >= core_.config.max_outstanding ||
         core_.draining;
}

// Memory for unfinished messages is one budget for all connections: many that each stay below their own limit count too.
void Connection::count_kept() {
  const size_t before = std::exchange(kept_counted_, kept_.size());
  core_.kept_bytes += kept_counted_ - before;
  if (phase_ == Phase::open && kept_counted_ > before && core_.kept_bytes > core_.config.kept_budget_bytes)
    begin_close(CloseReason::limit, "the memory for unfinished requests is used up");
}

void Connection::process_input() {
  if (phase_ == Phase::lingering) return discard_input();
  if (phase_ == Phase::handshake) shake_hands();
  if (phase_ != Phase::open) return;
  if (!hungry_) {
    kept_.consume(feed(kept_.view()));
    check_kept();
  }
  size_t budget = kReadBudgetBytes;
  while (readable_ && budget > 0 && !input_blocked()) budget -= std::min(budget, read_some());
  count_kept();
  if (phase_ != Phase::open) return;
  if (input_blocked()) {
    if (!std::exchange(input_stopped_, true)) core_.counters.input_stops.add();
  } else if (readable_) {
    core_.queue_ready(*this);
  } else {
    arm_read();
  }
}

void Connection::resume_input() {
  if (!input_stopped_ || input_blocked()) return;
  input_stopped_ = false;
  core_.queue_ready(*this);
}

// Returns what it cost of the budget.
size_t Connection::read_some() {
  const bool fits = std::max<size_t>(need_, kept_.size() + 1) <= kReadBytes;
  return fits ? read_behind_kept() : read_large();
}

// The usual case: into the thread's buffer, behind what was kept; the connection keeps only the unfinished rest.
size_t Connection::read_behind_kept() {
  const size_t kept = kept_.size();
  std::byte* buffer = core_.read_buffer.get();
  if (kept > 0) std::memcpy(buffer, kept_.view().data(), kept);
  const IoResult result = stream_->read_some({buffer + kept, kReadBytes});
  if (!got(result, kReadBytes)) return 0;
  const Bytes input(buffer, kept + result.bytes);
  const Bytes rest = input.subspan(feed(input));
  kept_ = InputBuffer();
  kept_.append(rest);
  check_kept();
  return result.bytes;
}

// A message larger than the thread's buffer is collected in place. Memory follows what has arrived, not what was claimed: up
// to kGrowth times as much, which nobody has touched yet.
size_t Connection::read_large() {
  const size_t missing = need_ > kept_.size() ? need_ - kept_.size() : kReadBytes;
  constexpr size_t kGrowth = 16;
  const MutableBytes tail = kept_.tail(std::min(missing, std::max(kGrowth * kept_.size(), kReadBytes)));
  const IoResult result = stream_->read_some(tail);
  if (!got(result, tail.size())) return 0;
  kept_.commit(result.bytes);
  if (kept_.size() >= need_) kept_.consume(feed(kept_.view()));
  check_kept();
  return result.bytes;
}

bool Connection::got(const IoResult& result, size_t asked) {
  if (result.status == IoStatus::ok) {
    core_.counters.bytes_in.add(result.bytes);
    hungry_ = false;
    readable_ = result.bytes == asked;
    return true;
  }
  readable_ = false;
  if (result.status == IoStatus::closed) {
    peer_eof_ = true;
    core_.queue_dirty(*this);
  } else if (result.status == IoStatus::reset) {
    abort(CloseReason::peer_reset);
  } else if (result.status == IoStatus::failed) {
    fail(stream_->failure());
  }
  return false;
}

// Returns the bytes consumed. hungry_ afterwards: the session needs more than is there.
size_t Connection::feed(Bytes input) {
  size_t used = 0;
  while (used < input.size() && !input_blocked()) {
    const Bytes rest = input.subspan(used);
    const bool enough = rest.size() >= need_;
    size_t consumed = 0;
    if (enough) {
      need_ = 0;
      consumed = session_->on_bytes(rest, *this);
      HEPTANE_ASSERT(consumed <= rest.size(), "a session consumed more than it was given");
    }
    if (consumed == 0) {
      hungry_ = true;
      return used;
    }
    used += consumed;
    touch();
  }
  hungry_ = used == input.size();
  return used;
}

void Connection::check_kept() {
  if (phase_ != Phase::open || !hungry_ || need_ > kept_.size()) return;
  if (kept_.size() >= listener_.protocol.message_limit_bytes())
    begin_close(CloseReason::limit, "a message is longer than the limit");
}

void Connection::discard_input() {
  for (size_t budget = kReadBudgetBytes; budget > 0;) {
    const IoResult result = stream_->read_some({core_.read_buffer.get(), kReadBytes});
    if (result.status == IoStatus::would_block) return arm_read();
    if (result.status != IoStatus::ok) return die();
    budget -= std::min(budget, result.bytes);
  }
  core_.queue_ready(*this);
}

// Output.

void Connection::on_writable() {
  write_armed_ = false;
  core_.queue_dirty(*this);
}

Buffer Connection::keep(Bytes part) {
  constexpr size_t kSharedMinBytes = 16 << 10;  // below it, a copy is cheaper than memory that stays
  if (part.size() >= kSharedMinBytes)
    if (std::optional<Buffer> shared = kept_.share(part)) return std::move(*shared);
  return Buffer::copy_of(part);
}

void Connection::write(Buffer bytes) {
  if (phase_ != Phase::open || bytes.empty()) return;
  if (output_.empty()) write_progress_ns_ = core_.now_ns;
  output_.push(std::move(bytes), core_.spares);
  wrote();
}

void Connection::write_copy(Bytes bytes) {
  if (phase_ != Phase::open || bytes.empty()) return;
  if (output_.empty()) write_progress_ns_ = core_.now_ns;
  output_.append(bytes, core_.spares);
  wrote();
}

void Connection::wrote() {
  if (!above_mark_ && output_.cost() > core_.config.output_high_bytes) {
    above_mark_ = true;
    if (stall_s_ == 0) arm_stall_timer();
  }
  if (!write_armed_) core_.queue_dirty(*this);
}

// Room for many pieces costs something to make, and most who write have one.
template <size_t kPiecesMax>
IoResult Connection::offer(size_t& offered) {
  std::array<Bytes, kPiecesMax> pieces;
  const size_t count = output_.gather(pieces);
  for (size_t i = 0; i < count; ++i) offered += pieces[i].size();
  return stream_->write_some({pieces.data(), count});
}

// One gathered write; more only while the system takes everything.
void Connection::flush() {
  while (!output_.empty() && !write_armed_) {
    size_t offered = 0;
    const IoResult result = output_.one_piece() ? offer<1>(offered) : offer<kPiecesPerWrite>(offered);
    if (result.status != IoStatus::ok && result.status != IoStatus::would_block) return abort(CloseReason::peer_reset);
    if (result.status == IoStatus::ok && result.bytes > 0) {
      output_.consume(result.bytes, core_.spares);
      core_.counters.bytes_out.add(result.bytes);
      taken_bytes_ += static_cast<uint32_t>(result.bytes);
      write_progress_ns_ = core_.now_ns;
      touch();
    }
    if (result.status == IoStatus::would_block || result.bytes < offered) wait_for_socket();
  }
  if (!stream_->flushed() && !write_armed_) wait_for_socket();
}

void Connection::wait_for_socket() {
  write_armed_ = true;
  stream_->want_write();
  if (stall_s_ != 0 && !stall_armed_ && phase_ == Phase::open) watch_stall();
}

void Connection::arm_stall_timer() {
  write_progress_ns_ = core_.now_ns;
  core_.timers.arm(id_, kStallTimer, core_.now_ns + core_.config.write_timeout_ns);
}

void Connection::watch_output(int64_t timeout_ns) {
  constexpr int64_t kNsPerSecond = 1'000'000'000;
  stall_s_ = static_cast<uint16_t>(std::clamp<int64_t>(timeout_ns / kNsPerSecond, 1, UINT16_MAX));
}

// The session's is for as long as it is there.
int64_t Connection::stall_timeout_ns() const {
  const bool its = phase_ == Phase::open && stall_s_ != 0;
  return its ? int64_t{stall_s_} * 1'000'000'000 : core_.config.write_timeout_ns;
}

// It stays armed when the socket goes on: one timer in each time-out, however often a slow peer's socket is full.
void Connection::watch_stall() {
  stall_armed_ = true;
  core_.timers.arm(id_, kStallTimer, write_progress_ns_ + stall_timeout_ns());
}

void Connection::on_stall_timer() {
  stall_armed_ = false;
  const bool watched = phase_ == Phase::open && stall_s_ != 0;
  const bool waits = phase_ == Phase::closing || (watched ? !all_sent() : phase_ == Phase::open && above_mark_);
  if (!waits) return;
  if (core_.now_ns < write_progress_ns_ + stall_timeout_ns()) return watch_stall();
  if (watched) return stalled();
  abort(CloseReason::deadline);
}

void Connection::stalled() {
  session_->on_stalled(*this);
  begin_close(CloseReason::deadline, "the peer takes nothing");
}

void Connection::settle() {
  if (phase_ == Phase::handshake && core_.draining) begin_close(CloseReason::shutdown, "the server stops");
  if (phase_ == Phase::open) flush();
  const bool is_below = above_mark_ && output_.cost() <= core_.config.output_low_bytes;
  if (phase_ == Phase::open && (is_below || (awaits_taken_ && all_sent()))) {
    if (is_below && stall_s_ == 0) core_.timers.cancel(id_, kStallTimer);
    if (is_below) above_mark_ = false;
    awaits_taken_ = false;
    session_->on_writable(*this);
  }
  resume_input();
  if (phase_ == Phase::open && nothing_pending()) {
    if (peer_eof_) begin_close(CloseReason::peer_closed, "the peer closed");
    // What connections leave to a resident session is done before that ends.
    const bool stays = listener_.resident && !core_.residents_end;
    if (core_.draining && !stays) stop();
  }
  if (phase_ == Phase::closing) finish_closing();
}

// The end.

void Connection::stop() {
  if (phase_ != Phase::open) return;
  session_->on_stop(*this);
  begin_close(CloseReason::shutdown, "the server stops");
}

void Connection::close(CloseReason reason, std::string_view why) { begin_close(reason, why); }

void Connection::abort(CloseReason reason) {
  begin_close(reason, "");
  abandoned_ = true;
  output_.clear(core_.spares);
  if (phase_ == Phase::lingering) die();
  core_.queue_dirty(*this);
}

void Connection::begin_close(CloseReason reason, std::string_view why) {
  if (phase_ != Phase::open && phase_ != Phase::handshake) return;
  phase_ = Phase::closing;
  reason_ = reason;
  if (!listener_.resident) core_.counters.closed[static_cast<size_t>(reason)].add();
  if (listener_.outbound != nullptr) listener_.why_closed = why.empty() ? "the connection broke off" : why;
  if (core_.config.on_closed && !listener_.resident)
    core_.config.on_closed(listener_.protocol.name(), remote(), reason, why);
  core_.queue_dirty(*this);
}

// The session goes first: a peer that takes its time costs no session.
void Connection::end_session() {
  if (session_) session_->on_close(reason_);
  session_.reset();
  kept_ = InputBuffer();
  count_kept();
  core_.subscriptions.remove_all(id_);
  core_.timers.cancel_all(id_);
}

void Connection::finish_closing() {
  if (!std::exchange(session_ended_, true)) {
    end_session();
    arm_stall_timer();
  }
  flush();
  if (phase_ != Phase::closing || !(abandoned_ || all_sent())) return;
  // No answer went out lately that a reset could take away: nothing to linger for.
  const bool quiet = core_.now_ns - active_ns_ >= core_.config.linger_ns;
  if (abandoned_ || peer_eof_ || (quiet && reason_ == CloseReason::shutdown)) return die();
  stream_->shutdown_write();
  phase_ = Phase::lingering;
  core_.timers.arm(id_, kLingerTimer, core_.now_ns + core_.config.linger_ns);
  discard_input();
}

void Connection::die() {
  phase_ = Phase::dead;
  core_.queue_dirty(*this);
}

// Answers. A request's slot is free again whatever became of its session.

void Connection::deliver(RequestId request, const Reply& reply) {
  --outstanding_;
  if (phase_ == Phase::open) session_->on_reply(request, reply, *this);
  core_.queue_dirty(*this);
}

void Connection::deliver(RequestId request, const RecordsRead& records) {
  --outstanding_;
  if (phase_ == Phase::open) session_->on_records(request, records, *this);
  core_.queue_dirty(*this);
}

void Connection::deliver_worked(const WorkDone& done) {
  if (done.counted) --outstanding_;
  if (phase_ == Phase::open) session_->on_worked(done.request, *this);
  core_.queue_dirty(*this);
}

void Connection::deliver_advanced(SubscriptionId subscription, Offset durable_end) {
  if (phase_ == Phase::open) session_->on_advanced(subscription, durable_end, *this);
}

void Connection::deliver_timer(SessionTimerId timer) {
  if (timer == kStallTimer) return on_stall_timer();
  if (timer == kLingerTimer) return die();
  if (timer == kHandshakeTimer) return expire_handshake();
  if (phase_ == Phase::open) session_->on_timer(timer, *this);
}

void Connection::expire_handshake() {
  if (phase_ != Phase::handshake) return;
  core_.counters.tls_failed.add();
  begin_close(CloseReason::deadline, "the TLS handshake took too long");
}

void Connection::expire_idle() {
  if (phase_ == Phase::open && nothing_pending()) begin_close(CloseReason::deadline, "idle for too long");
  touch();
}

// The session's requests.

void Connection::need(size_t bytes) {
  if (bytes > listener_.protocol.message_limit_bytes())
    return begin_close(CloseReason::limit, "a message is longer than the limit");
  need_ = static_cast<uint32_t>(bytes);
}

// What came meanwhile and was left is given to it again.
void Connection::pause_input(bool paused) {
  if (paused_ && !paused) {
    hungry_ = false;
    if (!kept_.empty()) core_.queue_ready(*this);
  }
  paused_ = paused;
  resume_input();
}

bool Connection::count_sent(bool sent) {
  if (sent)
    ++outstanding_;
  else
    core_.counters.overloaded.add();
  return sent;
}

bool Connection::submit(RequestId request, Submission submission) {
  if (phase_ != Phase::open) return false;
  submission.listener = listener_.index;
  if (submission.received_utc_ns == 0) submission.received_utc_ns = utc_ns();
  const AnswerWatches::Told* told = core_.answer_watches.of(submission);
  Buffer payload = told != nullptr ? submission.payload : Buffer();
  const bool sent = count_sent(core_.send_gated({id_, request, std::move(submission)}));
  if (sent && told != nullptr)
    core_.answer_watches.under_way.insert_or_assign({id_, request}, AnswerWatches::UnderWay{told, std::move(payload)});
  return sent;
}

bool Connection::query(RequestId request, QueryRequest query) {
  return phase_ == Phase::open && count_sent(core_.send_gated({id_, request, std::move(query)}));
}

bool Connection::read(RequestId request, ReadRequest read) {
  return phase_ == Phase::open && count_sent(core_.send_read({id_, request, read}));
}

bool Connection::work(RequestId request, std::function<void()> job) {
  Workers* workers = core_.config.workers;
  return phase_ == Phase::open && count_sent(workers != nullptr && workers->submit({id_, request, std::move(job)}));
}

SubscriptionId Connection::subscribe(PartitionId partition, Offset from) {
  if (phase_ != Phase::open || !core_.watch(partition)) return 0;
  core_.subscriptions.add(id_, core_.next_subscription, partition, from);
  return core_.next_subscription++;
}

void Connection::unsubscribe(SubscriptionId subscription) { core_.subscriptions.remove(id_, subscription); }

SessionTimerId Connection::arm(int64_t delay_ns) {
  const SessionTimerId timer = core_.next_timer++;
  core_.timers.arm(id_, timer, monotonic_ns() + std::max<int64_t>(0, delay_ns));
  return timer;
}

void Connection::cancel(SessionTimerId timer) {
  if (timer >= kFirstSessionTimer) core_.timers.cancel(id_, timer);
}

// Activity.

void Connection::touch() {
  active_ns_ = core_.now_ns;
  ActivityList& list = listener_.activity;
  if (list.tail == this) return;
  leave_activity_list();
  older_ = list.tail;
  (list.tail ? list.tail->newer_ : list.head) = this;
  list.tail = this;
}

void Connection::leave_activity_list() {
  ActivityList& list = listener_.activity;
  if (list.head != this && older_ == nullptr) return;
  (older_ ? older_->newer_ : list.head) = newer_;
  (newer_ ? newer_->older_ : list.tail) = older_;
  newer_ = older_ = nullptr;
}

}  // namespace heptane::net
