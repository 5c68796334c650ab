#include "modules/iot/gateway/bridge/bridges.h"

#include <algorithm>
#include <utility>

namespace heptane::iot::bridge {

namespace {

class ResidentSession final : public net::Session {
 public:
  explicit ResidentSession(Bridges& bridges) : bridges_(bridges) {}
  void on_open(net::SessionContext& context) override { bridges_.attach(context); }
  size_t on_bytes(Bytes input, net::SessionContext&) override { return input.size(); }
  void on_reply(RequestId request, const Reply& reply, net::SessionContext&) override {
    bridges_.on_reply(request, reply);
  }
  void on_records(RequestId request, const net::RecordsRead& records, net::SessionContext&) override {
    bridges_.on_records(request, records);
  }
  void on_timer(net::SessionTimerId timer, net::SessionContext&) override { bridges_.on_timer(timer); }
  void on_stop(net::SessionContext&) override { bridges_.shut_down(); }
  void on_close(net::CloseReason) override {
    bridges_.shut_down();
    bridges_.detach();
  }

 private:
  Bridges& bridges_;
};

}  // namespace

std::unique_ptr<net::Session> BridgesProtocol::open(const net::Address&) {
  return std::make_unique<ResidentSession>(bridges_);
}

void Bridges::want(std::vector<WantedBridge> wanted) {
  wanted_ = std::move(wanted);
  if (context_ != nullptr) arm(0, [this] { follow(); });  // in a turn of the loop
}

void Bridges::attach(net::SessionContext& context) {
  context_ = &context;
  arm(0, [this] { follow(); });
}

void Bridges::follow() {
  for (auto at = bridges_.begin(); at != bridges_.end();) {
    const bool same = std::any_of(wanted_.begin(), wanted_.end(), [&](const WantedBridge& wanted) {
      return wanted.terms.name == at->first && wanted == at->second->said();
    });
    if (same) {
      ++at;
      continue;
    }
    at->second->stop("the configuration says something else");
    stopped_.push_back(std::move(at->second));
    at = bridges_.erase(at);
  }
  for (const WantedBridge& wanted : wanted_) {
    std::unique_ptr<Bridge>& bridge = bridges_[wanted.terms.name];
    if (bridge) continue;
    bridge = std::make_unique<Bridge>(wanted, broker_, *this, dialer_, counters_);
    bridge->begin(via_);
  }
}

void Bridges::shut_down() {
  for (const auto& [name, bridge] : bridges_) bridge->shut_down();
}

std::vector<BridgeFacts> Bridges::facts() const {
  std::vector<BridgeFacts> facts;
  for (const auto& [name, bridge] : bridges_) facts.push_back(bridge->facts());
  return facts;
}

void Bridges::on_reply(RequestId request, const Reply& reply) {
  auto found = replies_.extract(request);
  if (found) found.mapped()(reply);
}

void Bridges::on_records(RequestId request, const net::RecordsRead& records) {
  auto found = reads_.extract(request);
  if (found) found.mapped()(records);
}

void Bridges::on_timer(net::SessionTimerId timer) {
  auto found = timers_.extract(timer);
  if (found) found.mapped()();
}

bool Bridges::submit(Submission submission, Replied done) {
  if (context_ == nullptr || !context_->submit(last_request_ + 1, std::move(submission))) return false;
  replies_.emplace(++last_request_, std::move(done));
  return true;
}

bool Bridges::query(QueryRequest query, Replied done) {
  if (context_ == nullptr || !context_->query(last_request_ + 1, std::move(query))) return false;
  replies_.emplace(++last_request_, std::move(done));
  return true;
}

bool Bridges::read(ReadRequest read, Read done) {
  if (context_ == nullptr || !context_->read(last_request_ + 1, std::move(read))) return false;
  reads_.emplace(++last_request_, std::move(done));
  return true;
}

net::SessionTimerId Bridges::arm(int64_t delay_ns, std::function<void()> fire) {
  if (context_ == nullptr) return 0;
  const net::SessionTimerId timer = context_->arm(delay_ns);
  timers_.emplace(timer, std::move(fire));
  return timer;
}

void Bridges::cancel(net::SessionTimerId timer) {
  if (timers_.erase(timer) > 0 && context_ != nullptr) context_->cancel(timer);
}

}  // namespace heptane::iot::bridge
