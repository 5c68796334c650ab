#include "modules/iot/gateway/mqtt/declared.h"

#include <algorithm>
#include <utility>

#include "kernel/base/crc32c.h"

namespace heptane::iot::mqtt {

namespace {

constexpr int64_t kRetryNs = 100'000'000;  // of what finds no room

bool comes_again(Errc error) { return error == Errc::overloaded || error == Errc::no_space; }

}  // namespace

Declared::Capture Declared::capture_of(std::string_view topic) const {
  Capture most = Capture::none;
  if (!qos0_.empty()) qos0_.match(topic, [&](Capture one) { most = std::max(most, one); });
  return most;
}

const StreamDeclaration* Declared::taking(std::string_view stream) const {
  const auto found = taking_.find(stream);
  return found == taking_.end() ? nullptr : &found->second;
}

void Declared::take(Bytes list) {
  const auto streams = decode_declarations(list);
  if (!streams) return;
  qos0_ = {};
  taking_.clear();
  names_.clear();
  for (const StreamDeclaration& stream : *streams) {
    names_.insert(stream.name);
    if (stream.qos0) qos0_.insert(stream.filter, stream.relaxed ? Capture::relaxed : Capture::strict);
    if (stream.publish) taking_.emplace(stream.name, stream);
  }
}

void Declared::want(std::vector<StreamDeclaration> streams) {
  ++round_;
  wanted_.assign(std::make_move_iterator(streams.begin()), std::make_move_iterator(streams.end()));
  send();
}

void Declared::attach(net::SessionContext& context) {
  context_ = &context;
  send();
}

void Declared::again_later() {
  if (timer_ == 0) timer_ = context_->arm(kRetryNs);
}

void Declared::send() {
  while (!wanted_.empty() && context_ != nullptr) {
    Submission submission;
    submission.machine = kBrokerMachineId;
    submission.type = kDeclareStream;
    submission.payload = encode(wanted_.front());
    submission.payload_crc = crc32c(submission.payload.view());
    if (!context_->submit(last_request_ + 1, std::move(submission))) return again_later();
    under_way_.emplace(++last_request_, UnderWay{round_, std::move(wanted_.front())});
    wanted_.pop_front();
  }
}

bool Declared::on_timer(net::SessionTimerId timer) {
  if (timer != timer_) return false;
  timer_ = 0;
  send();
  return true;
}

bool Declared::on_reply(RequestId request, const Reply& reply) {
  const auto found = under_way_.find(request);
  if (found == under_way_.end()) return false;
  UnderWay asked = std::move(found->second);
  under_way_.erase(found);
  if (reply.ok()) {
    take(reply.payload.view());
  } else if (comes_again(*reply.error)) {
    if (context_ == nullptr || asked.round != round_) return true;
    wanted_.push_back(std::move(asked.stream));
    again_later();
  } else if (report_) {
    report_("mqtt.streams: " + asked.stream.name + ": " + reply.message);
  }
  return true;
}

}  // namespace heptane::iot::mqtt
