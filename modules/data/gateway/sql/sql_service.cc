#include "modules/data/gateway/sql/sql_service.h"

#include <iterator>

#include "kernel/shard/state_machine.h"

namespace heptane::data::sql {

namespace {

class ServiceSession final : public net::Session {
 public:
  explicit ServiceSession(SqlService& service) : service_(service) {}
  ~ServiceSession() override { service_.detach(); }
  ServiceSession(const ServiceSession&) = delete;
  ServiceSession& operator=(const ServiceSession&) = delete;

  void on_open(net::SessionContext& context) override { service_.attach(context); }
  size_t on_bytes(Bytes input, net::SessionContext&) override { return input.size(); }
  void on_reply(RequestId, const Reply& reply, net::SessionContext&) override { service_.on_reply(reply); }
  void on_worked(RequestId request, net::SessionContext&) override { service_.on_worked(request); }
  void on_timer(net::SessionTimerId, net::SessionContext&) override { service_.on_timer(); }
  void on_close(net::CloseReason) override { service_.detach(); }

 private:
  SqlService& service_;
};

}  // namespace

std::unique_ptr<net::Session> SqlServiceProtocol::open(const net::Address&) {
  return std::make_unique<ServiceSession>(service_);
}

void SqlService::ask() {
  wanted_ = true;
  if (const SessionId session = session_; session != 0) workers_.hand_back({session, kAskRequest});
}

JobOwner SqlService::wait(std::function<void()> then) {
  waiting_.emplace(++last_request_, std::move(then));
  return {session_, last_request_};
}

void SqlService::attach(net::SessionContext& context) {
  context_ = &context;
  session_ = context.id();
  if (wanted_.exchange(false)) describe();
}

// Twice: what closes a session destroys it afterwards.
void SqlService::detach() {
  if (session_.exchange(0) == 0) return;
  context_ = nullptr;
  waiting_.clear();
  hooks_.stop();
}

void SqlService::on_worked(RequestId request) {
  if (request == kAskRequest) {
    if (wanted_.exchange(false)) describe();
    return;
  }
  const auto found = waiting_.find(request);
  if (found == waiting_.end()) return;
  const std::function<void()> then = std::move(found->second);
  waiting_.erase(found);
  then();
}

void SqlService::describe() {
  if (std::exchange(asking_, true)) return;
  described_.clear();
  on_timer();
}

// The first page, or the one behind what came; again where there was no room to ask.
void SqlService::on_timer() {
  const streams::DescribeQuery query{true, {}, described_.empty() ? std::string() : described_.back().name};
  if (!context_->query(++last_request_, {machine_ids::kStreams, streams::kDescribe, streams::encode(query), {}}))
    context_->arm(kRetryNs);
}

void SqlService::on_reply(const Reply& reply) {
  Result<std::vector<streams::StreamInfo>> page = Error{Errc::overloaded, "refused"};
  if (reply.ok()) page = streams::decode_stream_infos(reply.payload.view());
  if (!page) {
    context_->arm(kRetryNs);
    return;
  }
  std::move(page->begin(), page->end(), std::back_inserter(described_));
  if (reply.numbers[0] == 1 && !page->empty()) return on_timer();
  asking_ = false;
  hooks_.described(std::exchange(described_, {}));
  if (wanted_.exchange(false)) describe();
}

}  // namespace heptane::data::sql
