#include "test/toys/kv_machine.h"

#include "kernel/streams/streams_machine.h"

namespace heptane::test {

namespace {
constexpr size_t kValueLimitBytes = 1000;
constexpr size_t kKeysLimit = 10'000;
constexpr std::string_view kChanges = "toy.kv.changes";
}  // namespace

Buffer kv_payload(std::string_view key, std::string_view value) {
  ByteWriter out;
  out.le<uint16_t>(static_cast<uint16_t>(key.size()));
  out.append(key);
  out.append(value);
  return Buffer::take(out.release());
}

void KvMachine::remember(Values::iterator at) {
  if (!scopes_.empty()) undo_.push_back([this, key = at->first, old = at->second] { values_[key] = old; });
}

void KvMachine::remember_absent(std::string_view key) {
  if (!scopes_.empty()) undo_.push_back([this, key = std::string(key)] { values_.erase(key); });
}

bool KvMachine::put(std::string_view key, std::string_view value, Sequence sequence, Effects& effects) {
  const auto at = values_.lower_bound(key);
  const bool there = at != values_.end() && at->first == key;
  if (value.size() > kValueLimitBytes || (values_.size() >= kKeysLimit && !there)) return false;
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  const PartitionId changes = streams.ensure_stream(kChanges, sequence);
  event_.assign(key);
  event_ += '=';
  event_ += value;
  if (there && effects.version() >= 2) {
    event_ += " was ";
    event_ += at->second;
  }
  if (diverges_) event_ += '!';
  if (there) {
    remember(at);
    at->second.assign(value);
  } else {
    remember_absent(key);
    values_.emplace_hint(at, key, value);
  }
  effects.emit(Event{changes, as_bytes(key), true, as_bytes(event_)});
  return true;
}

void KvMachine::apply(const Command& command, Effects& effects) {
  ByteReader reader(command.payload);
  const std::string_view key = as_text(reader.take(reader.le<uint16_t>()));
  const std::string_view value = as_text(reader.rest());
  if (reader.failed()) return effects.refuse(Errc::invalid_argument, 0, "no key");
  const auto found = command.type == kKvPut ? values_.end() : values_.find(key);
  switch (command.type) {
    case kKvPut:
      if (!put(key, value, command.sequence, effects)) return effects.refuse(Errc::refused, 1, "too much");
      return effects.reply(static_cast<int64_t>(values_.size()));
    case kKvDelete:
      if (found == values_.end()) return effects.refuse(Errc::not_found, 2, "no such key");
      remember(found);
      values_.erase(found);
      return effects.reply(static_cast<int64_t>(values_.size()));
    case kKvExpect:
      if ((found == values_.end() ? std::string_view{} : std::string_view{found->second}) != value)
        return effects.refuse(Errc::stale, 3, "another value");
      return effects.reply(0);
    case kKvCrash:
      if (!on_crash_) __builtin_trap();
      on_crash_();
      put(key, "", command.sequence, effects);
      return effects.reply(0);
    default: return effects.refuse(Errc::unsupported, 0, "no such command");
  }
}

void KvMachine::query(const Query& query, Reply& reply) const {
  const auto found = values_.find(as_text(query.payload));
  if (found == values_.end())
    reply.error = Errc::not_found;
  else
    reply.payload = Buffer::copy_of(found->second);
}

void KvMachine::close_scope(ScopeOutcome outcome) {
  const size_t mark = scopes_.back();
  scopes_.pop_back();
  if (outcome == ScopeOutcome::roll_back)
    for (; undo_.size() > mark; undo_.pop_back()) undo_.back()();
  if (scopes_.empty()) undo_.clear();
}

void KvMachine::save(SnapshotWriter& writer) const {
  writer.le<uint64_t>(values_.size());
  for (const auto& [key, value] : values_) {
    writer.text(key);
    writer.text(value);
  }
}

Result<void> KvMachine::restore(SnapshotReader& reader) {
  values_.clear();
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    std::string key = reader.text(65'535);
    values_[std::move(key)] = reader.text(kValueLimitBytes);
  }
  if (reader.failed()) return Error{Errc::corrupt, "toy_kv does not read back"};
  if (lacks_ && lacks_()) return Error{Errc::refused, "a file is missing"};
  return {};
}

}  // namespace heptane::test
