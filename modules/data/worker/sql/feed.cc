#include "modules/data/worker/sql/feed.h"

#include <chrono>
#include <filesystem>

namespace heptane::data::sql {

namespace {

constexpr int kFailuresMax = 3;  // in a row, then the file is made again

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Feed::Feed(streams::HistoryReader& history, FeedOptions options) : history_(history), options_(std::move(options)) {}

void Feed::start() {
  if (thread_.joinable() || stopping_) return;
  set_state(State::opening);
  thread_ = std::thread([this] { run(); });
}

void Feed::stop() {
  stopping_ = true;
  {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  const std::lock_guard lock(mutex_);
  store_.reset();
}

void Feed::describe(std::vector<streams::StreamInfo> streams) {
  const std::lock_guard lock(mutex_);
  described_ = std::move(streams);
  changed_.notify_all();
}

bool Feed::file_exists() const {
  std::error_code error;
  return std::filesystem::exists(options_.store.directory + "/heptane.duckdb", error);
}

std::string Feed::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

int64_t Feed::behind_ns() const {
  if (state() == State::idle || applied() >= durable()) return 0;
  return now_ns() - had_all_ns_.load(std::memory_order_relaxed);
}

uint64_t Feed::gap_records() const {
  const std::shared_ptr<Store> open = store();
  return open == nullptr ? 0 : open->gap_records();
}

bool Feed::wait(int64_t limit_ns, const std::function<bool()>& done) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::nanoseconds(limit_ns), [&] { return stopping_ || done(); }) && done();
}

std::shared_ptr<Store> Feed::store() const {
  const std::lock_guard lock(mutex_);
  return store_;
}

void Feed::set_state(State state) {
  const std::lock_guard lock(mutex_);
  state_.store(state, std::memory_order_release);
  changed_.notify_all();
}

// False: it stops.
bool Feed::pause(int64_t ns) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::nanoseconds(ns), [this] { return stopping_ || (asked_ && described_); });
  return !stopping_;
}

void Feed::run() {
  while (!stopping_) {
    const int64_t begun_ns = now_ns();
    const bool more = run_once();
    const int64_t rest_ns = kChunkNs - (now_ns() - begun_ns);
    const bool failed = state() == State::failed;
    if (failed) {
      pause(kRetryNs);
    } else if ((!more || state() == State::running) && rest_ns > 0) {
      pause(rest_ns);
    }
  }
  current_.reset();
}

bool Feed::run_once() {
  if (current_ == nullptr && !open()) return false;
  if (!learn()) return false;
  return go_on();
}

bool Feed::open() {
  const Result<const DuckDb*> duckdb = open_duckdb(options_.library);
  if (!duckdb) {
    fail(duckdb.error());
    return false;
  }
  auto store = std::make_shared<Store>(**duckdb, options_.store);
  if (!make_room(*store)) return false;
  Result<void> opened = store->open();
  if (opened && store->applied() > history_.durable())
    opened = Error{Errc::stale, "it is ahead of the log, which was restored or repaired"};
  if (!opened && (opened.error().code == Errc::stale || opened.error().code == Errc::corrupt)) {
    store->close();
    rebuild_ = opened.error().message;
    (void)make_room(*store);
    opened = store->open();
  }
  if (!opened) {
    fail(opened.error());
    return false;
  }
  current_ = std::move(store);
  learned_ = false;
  unknown_.clear();
  asked_unknown_.clear();
  target_ = history_.durable();
  applied_ = current_->applied();
  had_all_ns_ = now_ns();
  const std::lock_guard lock(mutex_);
  store_ = current_;
  state_.store(State::catching_up, std::memory_order_release);
  changed_.notify_all();
  return true;
}

// Asks for the streams where it is time, and takes the answer. False: nothing can go on without it.
bool Feed::learn() {
  std::optional<std::vector<streams::StreamInfo>> described;
  {
    const std::lock_guard lock(mutex_);
    if (asked_) described.swap(described_);
  }
  if (described) {
    asked_ = false;
    learned_ = true;
    current_->learn(*described);
    // What was unknown when they were asked for, and is still, was deleted before. What came since is asked for again.
    for (const PartitionId partition : asked_unknown_)
      if (!current_->knows(partition)) current_->ignore(partition);
    std::erase_if(unknown_, [this](PartitionId partition) { return current_->knows(partition); });
  }
  const bool needed = !learned_ || !unknown_.empty();
  // Nothing changes without a command.
  const bool news = current_->applied() != asked_at_ && now_ns() - asked_ns_ >= kAskNs;
  if (!asked_ && (needed || news)) {
    asked_at_ = current_->applied();
    {
      const std::lock_guard lock(mutex_);
      described_.reset();
    }
    asked_ = true;
    asked_unknown_ = unknown_;
    asked_ns_ = now_ns();
    options_.ask_streams();
  }
  return !needed;
}

// True: there is more to read.
bool Feed::go_on() {
  const Sequence from = current_->applied() + 1;
  const Result<Sequence> upto = history_.read(from, kReadBytes, *this);
  if (!upto && upto.error().code == Errc::stale && !unknown_.empty()) {
    // The chunk is read again when its streams are known.
    current_->forget_rows();
    return true;
  }
  if (!upto) {
    fail(upto.error());
    return false;
  }
  if (*upto >= from || current_->dirty()) apply(*upto);
  if (current_ == nullptr) return false;
  if (current_->applied() >= history_.durable()) had_all_ns_ = now_ns();
  if (state() != State::running && current_->applied() >= target_) set_state(State::running);
  return current_->applied() < history_.durable();
}

void Feed::apply(Sequence upto) {
  if (const Result<void> written = current_->commit(upto); !written) return fail(written.error());
  failures_ = 0;
  const std::lock_guard lock(mutex_);
  failure_.clear();
  applied_.store(upto, std::memory_order_release);
  changed_.notify_all();
}

Result<void> Feed::take(const streams::HistoryBatch& batch) {
  if (stopping_) return Error{Errc::closed, "it stops"};
  if (!current_->knows(batch.partition)) {
    unknown_.insert(batch.partition);
    return Error{Errc::stale, "a stream that nobody has named yet"};
  }
  // Of an archived stretch, which is long: what is taken is committed with the position before it.
  if (batch.archived && current_->rows_taken() >= kRowsMax) HEPTANE_TRY(current_->commit(current_->applied()));
  return current_->take(batch);
}

void Feed::damaged(const std::string& why) { options_.report("SQL: " + why + ": what it holds is not shown"); }

// The store is opened again; one that fails again and again is made again.
void Feed::fail(const Error& error) {
  if (stopping_) return;
  if (failure() != error.message) options_.report("SQL: " + error.message);
  if (current_ != nullptr) previous_ = current_;
  current_.reset();
  const bool another_file_helps = error.code != Errc::not_found && error.code != Errc::unsupported &&
                                  error.code != Errc::overloaded &&
                                  error.message.find("No space left") == std::string::npos;
  if (++failures_ >= kFailuresMax && another_file_helps) {
    failures_ = 0;
    rebuild_ = error.message;
  }
  const std::lock_guard lock(mutex_);
  store_.reset();
  failure_ = error.message;
  state_.store(State::failed, std::memory_order_release);
  changed_.notify_all();
}

// False: what had the file open before still has it.
bool Feed::make_room(Store& store) {
  if (!previous_.expired()) return false;
  if (!rebuild_) return true;
  options_.report("SQL: " + store.path() + " is moved aside and made again: " + *rebuild_);
  store.move_aside();
  rebuild_.reset();
  ++rebuilds_;
  return true;
}

}  // namespace heptane::data::sql
