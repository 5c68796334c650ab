#include "modules/iot/gateway/series/projection.h"

#include <utility>

#include "kernel/streams/record_batch.h"
#include "modules/iot/machine/series/series_api.h"

namespace heptane::iot::series {

namespace {

constexpr int64_t kRetryNs = 20'000'000;

// On the worker.
void take_batches(SeriesStore& store, const std::vector<Buffer>& batches) {
  for (const Buffer& batch : batches)
    (void)streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
      store.take(record.offset, as_text(record.key), as_text(record.value));
    });
}

void write_some(SeriesStore& store, bool wanted) {
  if (wanted || store.flush_due()) store.begin_flush();
  store.flush();
  store.sweep();
}

class ProjectionSession final : public net::Session {
 public:
  explicit ProjectionSession(Projection& projection) : projection_(projection) {}
  void on_open(net::SessionContext& context) override { projection_.attach(context); }
  size_t on_bytes(Bytes input, net::SessionContext&) override { return input.size(); }
  void on_reply(RequestId, const Reply& reply, net::SessionContext&) override { projection_.on_reply(reply); }
  void on_records(RequestId, const net::RecordsRead& records, net::SessionContext&) override {
    projection_.on_records(records);
  }
  void on_worked(RequestId, net::SessionContext&) override { projection_.on_worked(); }
  void on_advanced(net::SubscriptionId, Offset, net::SessionContext&) override { projection_.on_advanced(); }
  void on_timer(net::SessionTimerId timer, net::SessionContext&) override { projection_.on_timer(timer); }
  void on_close(net::CloseReason) override { projection_.detach(); }

 private:
  Projection& projection_;
};

}  // namespace

std::unique_ptr<net::Session> ProjectionProtocol::open(const net::Address&) {
  return std::make_unique<ProjectionSession>(projection_);
}

// A clean end leaves nothing that only the log has.
Projection::~Projection() {
  if (more_to_load_) return;
  while (store_.flush()) {
  }
  store_.begin_flush();
  while (store_.flush()) {
  }
}

void Projection::attach(net::SessionContext& context) {
  context_ = &context;
  ask();
}

void Projection::detach() {
  context_ = nullptr;
  state_ = State::failed;
}

void Projection::poke() {
  if (state_ == State::idle && context_ != nullptr) ask();
}

void Projection::ask() {
  state_ = State::asking;
  retry_timer_ = 0;
  if (!context_->query(++last_request_, {kSeriesMachineId, kQueryDatabases, {}, {}})) retry_later();
}

void Projection::on_reply(const Reply& reply) {
  if (!reply.ok()) return retry_later();
  if (reply.numbers[0] == static_cast<int64_t>(kNoPartition)) {
    state_ = State::idle;
    return;
  }
  partition_ = static_cast<PartitionId>(reply.numbers[0]);
  log_end_ = reply.numbers[1];
  flush_timer_ = context_->arm(kFlushEveryNs);
  go_on();
}

void Projection::work(State state, std::function<void()> job) {
  state_ = state;
  if (!context_->work(++last_request_, std::move(job))) retry_later();
}

// Nothing else is under way: what begins something forgets the timer.
void Projection::retry_later() { retry_timer_ = context_->arm(kRetryNs); }

// Nothing is under way.
void Projection::go_on() {
  retry_timer_ = 0;
  if (!store_.failed().empty()) {
    state_ = State::failed;
    failed_.store(true, std::memory_order_relaxed);
    return report_("series: " + store_.failed());
  }
  report_files();
  if (more_to_load_) return work(State::loading, [this] { more_to_load_ = store_.load(log_end_); });
  const bool write = store_.is_flushing() && (caught_up_ || store_.is_full());
  if (write || flush_wanted_)
    return work(State::working, [this, wanted = std::exchange(flush_wanted_, false)] { write_some(store_, wanted); });
  if (!caught_up_) return read();
  if (store_.upkeep_due()) return keep_up();
  state_ = State::waiting;
  if (subscribed_) return;
  subscribed_ = context_->subscribe(partition_, store_.applied()) != 0;
  if (!subscribed_) retry_later();
}

// A slice; what has come meanwhile is read before the next one.
void Projection::keep_up() {
  caught_up_ = false;
  work(State::working, [this] { (void)store_.upkeep(); });
}

void Projection::report_files() {
  if (const std::string notice = store_.take_notice(); !notice.empty()) report_("series: " + notice);
  if (said_many_files_ || store_.files_count() < kManyFiles) return;
  said_many_files_ = true;
  report_("series: there are " + std::to_string(store_.files_count()) +
          " chunk files: starts and queries over long times take longer with each");
}

void Projection::read() {
  state_ = State::reading;
  if (!context_->read(++last_request_, {partition_, store_.applied(), kReadBytes, {}})) retry_later();
}

// What the log does not hold any more is in a file, or was never read: then it is said.
void Projection::on_records(const net::RecordsRead& records) {
  if (records.error && records.log_start > store_.applied()) {
    report_("series: the log begins at " + std::to_string(records.log_start) +
            " of iot.lines, the chunk files end at " + std::to_string(store_.applied()) +
            ": what lies between is not shown, and every answer says so");
    return work(State::working, [this, start = records.log_start] { store_.skip_to(start); });
  }
  if (records.error && records.durable_end < store_.applied())
    return work(State::working, [this, end = records.durable_end] { store_.refuse_log(end); });
  if (records.error) return retry_later();
  caught_up_ = records.batches.empty();
  if (caught_up_) return go_on();
  work(State::working, [this, batches = records.batches] {
    take_batches(store_, batches);
    write_some(store_, false);
  });
}

void Projection::on_worked() { go_on(); }

void Projection::on_advanced() {
  subscribed_ = false;
  caught_up_ = false;
  if (state_ == State::waiting) go_on();
}

void Projection::on_timer(net::SessionTimerId timer) {
  if (timer == flush_timer_) {
    flush_timer_ = context_->arm(kFlushEveryNs);
    flush_wanted_ = true;
    if (state_ == State::waiting) go_on();
    return;
  }
  if (timer != retry_timer_) return;
  if (state_ == State::asking) return ask();
  caught_up_ = false;
  go_on();
}

}  // namespace heptane::iot::series
