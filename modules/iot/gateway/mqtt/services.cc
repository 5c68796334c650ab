// What a connection publishes to topics of AWS IoT's services: requests, which no subscriber sees; and what it
// answers where a method of its thing was called.

#include <algorithm>

#include "modules/iot/domain/devices/job_request.h"
#include "modules/iot/domain/devices/method.h"
#include "modules/iot/domain/devices/shadow.h"
#include "modules/iot/gateway/mqtt/session.h"

namespace heptane::iot::mqtt {

// Success: an answer follows, or nobody waits for one.
Reason MqttSession::use_service(const MessageView& message, uint64_t ticket) {
  if (is_claim()) return use_claim(message, ticket);
  if (devices::is_method_topic(message.topic)) return answer_method(message, ticket);
  const auto shadow = devices::parse_shadow_topic(message.topic);
  const auto job = devices::parse_job_topic(message.topic);
  const bool known = shadow || job;
  if (!known || !may(auth::Verb::write, message.topic)) {
    tell_denied(ToldKind::denied_publish, message.topic, !known);
    return Reason::not_authorised;
  }
  const Principal& principal = identity_.principal;
  const bool taken = shadow ? broker_.shadows().request(*shadow, message.payload, context_->id(), ticket, principal)
                            : broker_.jobs().request(*job, message.payload, context_->id(), ticket, principal);
  return taken ? Reason::success : Reason::quota_exceeded;
}

void MqttSession::refuse_service(uint64_t ticket, Reason reason) {
  if (reason != Reason::success) inbox_.complete(ticket, reason);
}

// Whose rights it takes is who is asked: the thing that is connected here, and nobody else.
Reason MqttSession::answer_method(const MessageView& message, uint64_t ticket) {
  const auto answer = devices::parse_method_answer(message.topic);
  const auto taken = answer
                         ? broker_.methods().take(thing(), answer->id, {answer->status, std::string(message.payload)})
                         : MethodCalls::Taken::not_its;
  if (taken == MethodCalls::Taken::not_its) {
    tell_denied(ToldKind::denied_publish, message.topic, !answer);
    return Reason::not_authorised;
  }
  if (ticket != 0)
    inbox_.complete(ticket, taken == MethodCalls::Taken::late ? Reason::no_matching_subscribers : Reason::success);
  return Reason::success;
}

void MqttSession::listen_for_methods(std::string_view filter) {
  if (!devices::is_method_filter(filter)) return;
  listens_ = true;
  broker_.methods().listens(thing(), context_->id());
}

// How it gets what is its alone; nullopt: it does not listen there.
std::optional<Delivery> MqttSession::own_delivery(std::string_view topic) const {
  std::optional<Delivery> delivery;
  for (const auto& [filter, subscription] : subscriptions_) {
    if (!matches(filter, topic)) continue;
    if (!delivery) delivery.emplace();
    delivery->qos = std::max(delivery->qos, std::min<uint8_t>(1, subscription.qos));
    if (subscription.id != 0) delivery->subscription_ids.push_back(subscription.id);
  }
  return delivery;
}

bool MqttSession::hears(std::string_view topic) const { return !closed_ && own_delivery(topic).has_value(); }

bool MqttSession::ask(const MessageView& message) {
  if (!is_still_allowed()) return false;
  const auto delivery = own_delivery(message.topic);
  if (!delivery) return false;
  outbox_.push(Broker::make_message(message, {0, 0, {}, context_->monotonic_ns()}), *delivery);
  touched();
  return true;
}

// Nobody hears there but the thing that is asked.
bool MqttSession::is_own_method(auth::Verb verb, std::string_view topic) const {
  return verb == auth::Verb::read && identity_.principal.id != auth::kLocalId && devices::is_method_filter(topic);
}

// The thing whose user this is. What AWS's SDKs append to a user is not part of it.
bool MqttSession::is_own_thing(std::string_view topic) const {
  return identity_.principal.id != auth::kLocalId && devices::is_of_thing(topic, identity_.name);
}

// Which thing is connected here: the client's, where nobody is asked who he is or a role lets a user speak for that thing; else the
// user's. A device that proved itself is that one, whatever its roles say and its client calls itself.
bool MqttSession::is_thing_by_client() const {
  if (device_) return false;
  if (broker_.options().authenticator == nullptr || client_id_ == identity_.name) return true;
  if (!devices::valid_name(client_id_)) return false;
  return has_right(auth::Verb::write, "$aws/things/" + client_id_ + "/shadow/update");
}

void MqttSession::tell_thing(bool connected) {
  ThingPresence& things = broker_.things();
  if (connected) {
    thing_by_client_ = is_thing_by_client();
    thing_connection_ = things.next_number();
    for (const auto& [filter, subscription] : subscriptions_) listen_for_methods(filter);
  }
  if (!thing_by_client_) things.note_user(identity_.name, thing_connection_, connected);
  things.tell(thing_by_client_ ? client_id_ : identity_.name, thing_connection_, connected);
}

std::string_view user_without_sdk(std::string_view user) { return user.substr(0, user.find("?SDK=")); }

}  // namespace heptane::iot::mqtt
