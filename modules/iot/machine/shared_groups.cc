#include "modules/iot/machine/shared_groups.h"

#include <algorithm>

#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/machine/broker_machine.h"

namespace heptane::iot {

namespace {

constexpr size_t kAssignedBytes = 37;

Bytes payload_of(uint64_t& number) { return {reinterpret_cast<const std::byte*>(&number), sizeof number}; }

}  // namespace

Buffer encode(const std::vector<Assigned>& assigned) {
  ByteWriter out;
  out.le<uint16_t>(static_cast<uint16_t>(assigned.size()));
  for (const Assigned& one : assigned) {
    out.le<uint64_t>(one.group);
    out.le<uint64_t>(one.number);
    out.le<uint64_t>(one.session);
    out.le<uint64_t>(one.epoch);
    out.le<uint32_t>(one.id);
    out.u8(one.retain ? 1 : 0);
  }
  return Buffer::take(out.release());
}

std::optional<std::vector<Assigned>> decode_assigned(Bytes payload) {
  ByteReader in(payload);
  const auto count = in.le<uint16_t>();
  if (count == 0 || count > kAssignedMax || !in.fits(count, kAssignedBytes)) return std::nullopt;
  std::vector<Assigned> assigned;
  for (uint16_t i = 0; i < count; ++i) {
    Assigned one;
    one.group = in.le<uint64_t>();
    one.number = in.le<uint64_t>();
    one.session = in.le<uint64_t>();
    one.epoch = in.le<uint64_t>();
    one.id = in.le<uint32_t>();
    one.retain = in.u8() != 0;
    assigned.push_back(one);
  }
  if (!in.complete()) return std::nullopt;
  return assigned;
}

Result<GroupInfo> decode_group(const Reply& reply) {
  if (!reply.ok()) return Error{*reply.error, reply.message};
  ByteReader in(reply.payload.view());
  GroupInfo info{static_cast<uint64_t>(reply.numbers[0]), static_cast<uint64_t>(reply.numbers[1]), 0, 0};
  info.ahead = in.le<uint32_t>();
  info.began = in.le<uint64_t>();
  if (!in.complete()) return Error{Errc::corrupt, "the answer about a group is cut off"};
  return info;
}

// Members.

void BrokerMachine::join(KeptSession& session, std::string_view filter) {
  KeptSubscription& subscription = session.subscriptions.find(filter)->second;
  KeptSession* group = sessions_.find_group(filter);
  if (!subscription.joined) {
    subscription.joined = true;
    const bool begins = group == nullptr;
    if (begins) group = &sessions_.add_group(filter, parse_shared(filter)->filter, session);
    if (begins && version_ >= kLogicReturns) group->began = sequence_;
    ++group->members;
  }
  sessions_.set_heir(*group, session);
}

// Those of before there were such groups, too.
void BrokerMachine::join_all(KeptSession& session) {
  if (version_ < kLogicGroups) return;
  for (const auto& [filter, subscription] : session.subscriptions)
    if (is_shared(filter)) join(session, filter);
}

// The group ends in a command of its own: what it loses is told there.
void BrokerMachine::leave(const KeptSession& session, std::string_view filter, LogTime now, Effects& effects) {
  KeptSession* group = sessions_.find_group(filter);
  sessions_.drop_heir(*group, session);
  if (--group->members == 0) effects.arm(now, kEndGroup, payload_of(group->number));
}

void BrokerMachine::leave_all(const KeptSession& session, LogTime now, Effects& effects) {
  for (const auto& [filter, subscription] : session.subscriptions)
    if (subscription.joined) leave(session, filter, now, effects);
}

void BrokerMachine::apply_end_group(const Command& command, Effects& effects) {
  ByteReader in(command.payload);
  KeptSession* group = sessions_.find(in.le<uint64_t>());
  if (group != nullptr && group->group && group->members == 0)
    end_session(*group, command.time, effects, Loss::group_ended);
  effects.reply(0);
}

// What nobody who is connected may receive.

// It is over with its connection, or is only to be ended: what it had in its queue would be lost.
bool BrokerMachine::ends_soon(const KeptSession& session) const {
  if (session.expiry_s == 0) return true;
  return !is_connected(session) &&
         ended(session) + static_cast<LogTime>(session.expiry_s) * KeptSession::kNsPerSecond <= time_;
}

// Another one for each message. One that is away and has room first; all of them are not looked at.
KeptSession* BrokerMachine::heir_of(const KeptSession& group, uint64_t number) {
  constexpr uint64_t kSpread = 0x9E3779B97F4A7C15;
  constexpr size_t kLookedAt = 16;
  constexpr size_t kPassedOver = 256;
  const std::set<uint64_t>& heirs = sessions_.heirs_of(group);
  if (heirs.empty()) return nullptr;
  const uint64_t from = *heirs.begin();
  auto at = heirs.lower_bound(from + number * kSpread % (*heirs.rbegin() - from + 1));
  KeptSession* best = nullptr;
  int best_rank = 0;
  const size_t most = std::min(kPassedOver, heirs.size());
  for (size_t i = 0, looked_at = 0; i < most && looked_at < kLookedAt && best_rank < 3; ++i) {
    KeptSession* heir = sessions_.find(*at);
    if (++at == heirs.end()) at = heirs.begin();
    if (ends_soon(*heir)) continue;
    ++looked_at;
    const int rank = (is_connected(*heir) ? 0 : 2) + (sessions_.full(*heir) ? 0 : 1);
    if (best == nullptr || rank > best_rank) {
      best = heir;
      best_rank = rank;
    }
  }
  return best;
}

// False: there is none. Where the best one is full it stays in the group's queue, until it is said again.
bool BrokerMachine::leave_to_heir(KeptSession& group, uint64_t number) {
  const Reference* found = group.group ? group.queue.find(number) : nullptr;
  KeptSession* heir = found == nullptr ? nullptr : heir_of(group, number);
  if (heir == nullptr) return false;
  if (sessions_.full(*heir)) return true;
  const KeptSubscription& subscription = heir->subscriptions.find(group.client)->second;
  Match match{heir, std::min(static_cast<uint8_t>(found->flags & Reference::kQosMask), subscription.qos), false, {}};
  match.retain = subscription.retain_as_published && (found->flags & Reference::kRetain) != 0;
  if (subscription.id != 0) match.ids.push_back(subscription.id);
  sessions_.push(match, {found->partition, found->offset});
  sessions_.trim(*heir);
  sessions_.settle(group, number);
  return true;
}

// Assignments.

void BrokerMachine::apply_assign(const Command& command, Effects& effects) {
  const auto assigned = decode_assigned(command.payload);
  if (!assigned) return effects.refuse(Errc::invalid_argument, 0, "the command is no list of assignments");
  std::vector<std::byte> statuses;
  for (const Assigned& one : *assigned) statuses.push_back(static_cast<std::byte>(assign(one)));
  effects.reply(statuses, static_cast<int64_t>(statuses.size()));
}

AssignStatus BrokerMachine::assign(const Assigned& wish) {
  KeptSession* group = sessions_.find(wish.group);
  Reference* found = group == nullptr || !group->group ? nullptr : group->queue.find(wish.number);
  if (found == nullptr) return AssignStatus::gone;
  const Reference reference = *found;
  if (wish.session != 0) {
    KeptSession* session = current(wish.session, wish.epoch);
    if (session == nullptr || session->group || !is_connected(*session)) return AssignStatus::stale;
    if (sessions_.full(*session)) return AssignStatus::full;
    Match match{session, static_cast<uint8_t>(reference.flags & Reference::kQosMask), false, {}};
    match.retain = wish.retain && (reference.flags & Reference::kRetain) != 0;
    if (wish.id != 0) match.ids.push_back(wish.id);
    sessions_.push(match, {reference.partition, reference.offset});
    sessions_.trim(*session);
  } else if (version_ >= kLogicReturns) {
    found->flags |= Reference::kChosen;
    return AssignStatus::marked;
  }
  sessions_.settle(*group, wish.number);
  return AssignStatus::assigned;
}

void BrokerMachine::query_group(const Query& query, Reply& reply) const {
  const KeptSession* group = sessions_.find_group(as_text(query.payload));
  ByteWriter out;
  out.le<uint32_t>(group == nullptr ? 0 : group->ahead);
  out.le<uint64_t>(group == nullptr ? 0 : group->began);
  reply.payload = Buffer::take(out.release());
  if (group != nullptr) reply.numbers = {static_cast<int64_t>(group->number), static_cast<int64_t>(group->sent_upto)};
}

}  // namespace heptane::iot
