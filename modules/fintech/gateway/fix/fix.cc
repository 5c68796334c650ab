#include "modules/fintech/gateway/fix/fix.h"

#include "kernel/base/crc32c.h"
#include "modules/fintech/gateway/fix/connection.h"

namespace heptane::fintech::fixgate {

namespace {

constexpr int64_t kAgainNs = 50'000'000;

}  // namespace

// All connections of an earlier run are over.
void FixKeeper::on_open(net::SessionContext& context) {
  context_ = &context;
  tell({});
}

void FixKeeper::tell(exchange::FixEnd end) {
  ends_.push_back(std::move(end));
  submit();
}

void FixKeeper::submit() {
  if (under_way_ || ends_.empty() || context_ == nullptr) return;
  Submission submission;
  submission.machine = exchange::kExchangeMachineId;
  submission.type = exchange::kFixEnd;
  submission.payload = exchange::packed(ends_.front());
  submission.payload_crc = crc32c(submission.payload.view());
  under_way_ = context_->submit(++last_id_, std::move(submission));
  if (!under_way_ && timer_ == 0) timer_ = context_->arm(kAgainNs);
}

// What has no room now is told again; what is refused otherwise is over already.
void FixKeeper::on_reply(RequestId, const Reply& reply, net::SessionContext& context) {
  under_way_ = false;
  if (reply.error == Errc::overloaded || reply.error == Errc::no_space) {
    if (timer_ == 0) timer_ = context.arm(kAgainNs);
    return;
  }
  ends_.pop_front();
  has_begun_ = true;
  submit();
}

void FixKeeper::on_timer(net::SessionTimerId, net::SessionContext&) {
  timer_ = 0;
  submit();
}

std::unique_ptr<net::Session> FixProtocol::open(const net::Address&) { return std::make_unique<FixConnection>(*this); }

bool FixProtocol::enter(const std::string& session, const FixConnection& connection) {
  return connected_.emplace(session, &connection).second;
}

void FixProtocol::leave(const std::string& session, const FixConnection& connection) {
  const auto found = connected_.find(session);
  if (found != connected_.end() && found->second == &connection) connected_.erase(found);
}

void FixProtocol::tell(exchange::FixEnd end) {
  if (keeper_ != nullptr) keeper_->tell(std::move(end));
}

}  // namespace heptane::fintech::fixgate
