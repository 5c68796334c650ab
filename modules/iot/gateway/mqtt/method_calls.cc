#include "modules/iot/gateway/mqtt/method_calls.h"

#include <algorithm>
#include <utility>

#include "kernel/crypto/digest.h"
#include "modules/iot/domain/devices/method.h"
#include "modules/iot/gateway/mqtt/broker.h"
#include "modules/iot/gateway/mqtt/session.h"

namespace heptane::iot::mqtt {

namespace {

constexpr size_t kIdBytes = 8;

}  // namespace

MethodCalls::~MethodCalls() { table_->broker = nullptr; }

MethodCalls::CallPtr MethodCalls::begin(std::string thing, std::string method, std::string payload) {
  Table& table = *table_;
  const auto of_thing = table.of_thing.find(thing);
  const bool thing_full = of_thing != table.of_thing.end() && of_thing->second >= kOfThingMax;
  if (thing_full || table.by_id.size() >= kMax || table.bytes + payload.size() > kBytesMax) return nullptr;
  auto call = std::make_unique<Call>();
  call->id = crypto::hex(broker_.desk().chance(kIdBytes));
  call->thing = std::move(thing);
  call->method = std::move(method);
  call->payload = std::move(payload);
  if (!table.by_id.emplace(call->id, call.get()).second) return nullptr;  // chance failed: it is there already
  table.bytes += call->payload.size();
  ++table.of_thing[call->thing];
  return {call.release(), [of = table_](Call* ended) {
            const std::unique_ptr<Call> owned(ended);
            forget(*of, *owned);
          }};
}

void MethodCalls::forget(Table& table, const Call& call) {
  table.by_id.erase(call.id);
  table.bytes -= call.payload.size();
  const auto of_thing = table.of_thing.find(call.thing);
  if (--of_thing->second == 0) table.of_thing.erase(of_thing);
  if (call.sent && !call.answer && table.broker != nullptr) table.broker->counters().methods_unanswered.add();
}

bool MethodCalls::is_heard(const Call& call) const {
  const auto found = listening_.find(call.thing);
  if (found == listening_.end()) return false;
  const std::string topic = devices::method_topic(call.method, call.id);
  return std::any_of(found->second.begin(), found->second.end(), [&](SessionId session) {
    const Subscriber* subscriber = broker_.find(session);
    return subscriber != nullptr && subscriber->hears(topic);
  });
}

// MQTT 5 clients that know no such topics answer where they are told to.
bool MethodCalls::send(Call& call, int64_t seconds) {
  const auto found = listening_.find(call.thing);
  if (found == listening_.end()) return false;
  const std::string topic = devices::method_topic(call.method, call.id);
  const std::string answers = devices::method_answer_topic(devices::kMethodDone, call.id);
  Properties properties;
  properties.response_topic = answers;
  properties.correlation_data = call.id;
  const std::string own = message_properties(properties);
  MessageView message;
  message.qos = 1;
  message.topic = topic;
  message.properties = own;
  message.payload = call.payload;
  message.expiry_s = static_cast<uint32_t>(seconds);
  const std::vector<SessionId> sessions = found->second;  // who is given it may leave
  for (auto session = sessions.rbegin(); session != sessions.rend(); ++session) {
    Subscriber* subscriber = broker_.find(*session);
    if (subscriber == nullptr || !subscriber->ask(message)) continue;
    call.sent = true;
    broker_.counters().methods_sent.add();
    return true;
  }
  return false;
}

void MethodCalls::listens(std::string_view thing, SessionId session) {
  std::vector<SessionId>& sessions = listening_[std::string(thing)];
  std::erase(sessions, session);
  sessions.push_back(session);
  if (!table_->of_thing.contains(thing)) return;
  for (const auto& [id, call] : table_->by_id)
    if (call->thing == thing && !call->sent && call->wake) call->wake();
}

void MethodCalls::left(std::string_view thing, SessionId session) {
  const auto found = listening_.find(thing);
  if (found == listening_.end()) return;
  std::erase(found->second, session);
  if (found->second.empty()) listening_.erase(found);
}

MethodCalls::Taken MethodCalls::take(std::string_view thing, std::string_view id, Answer answer) {
  const auto found = table_->by_id.find(id);
  const bool waits = found != table_->by_id.end() && found->second->sent && !found->second->answer;
  if (!waits) {
    broker_.counters().methods_late.add();
    return Taken::late;
  }
  Call& call = *found->second;
  if (call.thing != thing) return Taken::not_its;
  call.answer = std::move(answer);
  if (call.wake) call.wake();
  return Taken::taken;
}

}  // namespace heptane::iot::mqtt
