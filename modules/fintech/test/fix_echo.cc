#include "modules/fintech/test/fix_echo.h"

#include <algorithm>
#include <vector>

#include "modules/fintech/domain/fix/tags.h"

namespace heptane::fix::test {

namespace {

constexpr int32_t kClOrdID = 11;
constexpr size_t kPiece = 64 * 1024;

// The body's fields by their tags, as the scripts expect them. A count goes with its entries.
std::string sorted_body(const Message& message) {
  struct Unit {
    int32_t tag;
    std::string text;
  };
  std::vector<Unit> units;
  const ScopeRule& body = scope_rule(scope_of(message.type()));
  std::string_view text = message.bytes();
  for (const FieldView& field : message.fields()) {
    const uint32_t slot = slot_of(field.tag);
    if (field_rule(slot).part != Part::body) continue;
    if (body.members.has(slot)) units.push_back({field.tag, {}});
    add_field(units.back().text, field.tag, text.substr(field.at, field.size));
  }
  std::stable_sort(units.begin(), units.end(), [](const Unit& a, const Unit& b) { return a.tag < b.tag; });
  std::string out;
  for (const Unit& unit : units) out += unit.text;
  return out;
}

}  // namespace

void MemoryStore::append(const Draft& draft, bool administrative, int64_t sending_time_ns) {
  if (!administrative)
    kept_[next_number_] = {std::string(draft.type), std::string(draft.header), std::string(draft.body),
                           sending_time_ns};
  ++next_number_;
}

uint64_t MemoryStore::first_kept(uint64_t from) const {
  const auto at = kept_.lower_bound(from);
  return at == kept_.end() ? next_number_ : at->first;
}

Sent MemoryStore::read(uint64_t number) const {
  const Kept& kept = kept_.at(number);
  return {{kept.type, kept.header, kept.body}, kept.sending_time_ns};
}

void MemoryStore::reset() {
  next_number_ = 1;
  kept_.clear();
}

EchoVenue::EchoVenue() {
  settings.sender_comp_id = peers.sender_comp_id = "ISLD";
  settings.target_comp_id = peers.target_comp_id = "TW44";
  settings.reset_on_logon = true;
}

void EchoConnection::on_bytes(std::string_view bytes, int64_t now_ns) {
  now_ns_ = now_ns;
  input_ += bytes;
  input_.erase(0, session_.on_bytes(input_, now_ns));
}

void EchoConnection::on_timer(int64_t now_ns) {
  now_ns_ = now_ns;
  session_.on_timer(now_ns);
}

void EchoConnection::on_disconnected() {
  session_.on_disconnected();
  leave();
}

Admission EchoConnection::admit(const Message&) {
  if (venue_.logged_on != nullptr && venue_.logged_on != this) return {false, "logged on already"};
  venue_.logged_on = this;
  return {true, {}};
}

void EchoConnection::reset_numbers() {
  venue_.store.reset();
  venue_.next_inbound = 1;
  venue_.seen.clear();
}

void EchoConnection::send(const Draft& draft) { send_next(venue_.peers, venue_.store, draft, now_ns_, out_); }

void EchoConnection::send_again(uint64_t begin, uint64_t end) {
  Resend resend;
  resend.add(venue_.store, begin, end);
  while (resend.is_pending()) resend.send(venue_.peers, venue_.store, now_ns_, out_.size() + kPiece, out_);
}

Handled EchoConnection::on_application(const Message& message) {
  if (message.type() != "D" && message.type() != "d") return Handled::unsupported_type;
  const std::string id(message.find(kClOrdID).value_or(""));
  const bool is_new = id.empty() || venue_.seen.insert(id).second;
  const bool again = message.flag(kPossResend);
  if (again && !is_new) return Handled::taken;
  std::string header;
  if (again) add_field(header, kPossResend, "Y");
  const std::string body = sorted_body(message);
  send({message.type(), header, body});
  return Handled::taken;
}

void EchoConnection::close(const char* why) {
  why_ = why;
  leave();
}

void EchoConnection::leave() {
  if (venue_.logged_on == this) venue_.logged_on = nullptr;
}

}  // namespace heptane::fix::test
