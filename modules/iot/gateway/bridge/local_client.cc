#include "modules/iot/gateway/bridge/local_client.h"

#include <utility>

namespace heptane::iot::bridge {

namespace {

// The I/O thread's.
SessionId next_id() {
  static SessionId last = LocalClient::kFirstId;
  return ++last;
}

}  // namespace

LocalClient::LocalClient(mqtt::Broker& broker, const mqtt::OwnClient& own, Ways& ways, net::Address remote,
                         std::function<void()> woken)
    : ways_(ways), id_(next_id()), remote_(std::move(remote)), woken_(std::move(woken)), session_(broker, own) {}

template <class Call>
void LocalClient::called(const Call& call) {
  if (gone_) return;
  call();
  woken_();
}

bool LocalClient::step() {
  if (closed_ || paused_ || begin_ == input_.size()) return false;
  const size_t taken = session_.on_bytes(as_bytes(std::string_view(input_).substr(begin_)), *this);
  begin_ += taken;
  if (begin_ > input_.size() / 2 || begin_ == input_.size()) {
    input_.erase(0, begin_);
    begin_ = 0;
  }
  return taken > 0;
}

void LocalClient::set_behind(size_t bytes) {
  behind_ = bytes;
  const bool full = output_full();
  if (std::exchange(was_full_, full) && !full && !closed_) session_.on_writable(*this);
}

std::vector<std::string> LocalClient::filters() const {
  std::vector<std::string> filters;
  session_.each_subscription([&](std::string_view filter, const auto&) { filters.emplace_back(filter); });
  return filters;
}

void LocalClient::end(std::string_view goodbye) {
  if (gone_) return;
  gone_ = true;
  if (!closed_) session_.on_bytes(as_bytes(goodbye), *this);
  closed_ = true;
  session_.on_close(net::CloseReason::session_closed);
}

void LocalClient::shut_down() {
  closed_ = gone_ = true;
  session_.on_close(net::CloseReason::shutdown);
}

void LocalClient::write(Buffer bytes) {
  output_ += as_text(bytes.view());
  if (output_full()) was_full_ = true;
  woken_();
}

void LocalClient::close(net::CloseReason, std::string_view why) {
  closed_ = true;
  why_ = why;
  woken_();
}

void LocalClient::pause_input(bool paused) {
  paused_ = paused;
  woken_();
}

bool LocalClient::submit(RequestId request, Submission submission) {
  return ways_.submit(std::move(submission), [self = shared_from_this(), request](const Reply& reply) {
    self->called([&] { self->session_.on_reply(request, reply, *self); });
  });
}

bool LocalClient::query(RequestId request, QueryRequest query) {
  return ways_.query(std::move(query), [self = shared_from_this(), request](const Reply& reply) {
    self->called([&] { self->session_.on_reply(request, reply, *self); });
  });
}

bool LocalClient::read(RequestId request, ReadRequest read) {
  return ways_.read(std::move(read), [self = shared_from_this(), request](const net::RecordsRead& records) {
    self->called([&] { self->session_.on_records(request, records, *self); });
  });
}

// A timer's own number is known to its session when it fires.
net::SessionTimerId LocalClient::arm(int64_t delay_ns) {
  auto number = std::make_shared<net::SessionTimerId>(0);
  *number = ways_.arm(delay_ns, [self = weak_from_this(), number] {
    if (const auto here = self.lock()) here->called([&] { here->session_.on_timer(*number, *here); });
  });
  return *number;
}

}  // namespace heptane::iot::bridge
