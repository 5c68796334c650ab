#include "modules/fintech/gateway/fix/sent.h"

#include "modules/fintech/domain/fix/dictionary.h"
#include "modules/fintech/domain/fix/tags.h"
#include "modules/fintech/domain/fix/values.h"

namespace heptane::fintech::fixgate {

namespace {

struct Field {
  int32_t tag = 0;
  std::string_view value;
};

// Takes the first field of what is left.
std::optional<Field> take(std::string_view& rest) {
  const size_t equals = rest.find('=');
  const size_t end = rest.find(fix::kSoh);
  if (equals == std::string_view::npos || end == std::string_view::npos || equals > end) return std::nullopt;
  const auto tag = fix::number_of(rest.substr(0, equals));
  if (!tag) return std::nullopt;
  const Field field{static_cast<int32_t>(*tag), rest.substr(equals + 1, end - equals - 1)};
  rest.remove_prefix(end + 1);
  return field;
}

}  // namespace

std::optional<Spoken> read_spoken(std::string_view record) {
  std::string_view rest = record;
  const auto type = take(rest);
  const auto number = type ? take(rest) : std::nullopt;
  const auto time = number ? take(rest) : std::nullopt;
  if (!time || type->tag != fix::kMsgType || number->tag != fix::kMsgSeqNum || time->tag != fix::kSendingTime)
    return std::nullopt;
  const auto counted = fix::number_of(number->value);
  const auto sent = fix::timestamp_of(time->value);
  if (!counted || !sent) return std::nullopt;
  const std::string_view fields = rest;
  std::string_view body = rest;
  while (const auto field = take(rest)) {
    if (fix::field_rule(fix::slot_of(field->tag)).part != fix::Part::header) break;
    body = rest;
  }
  return Spoken{*counted, {{type->value, fields.substr(0, fields.size() - body.size()), body}, *sent}};
}

// Numbers lie densely from the first one on.
uint64_t SpokenRange::first_kept(uint64_t from) const {
  for (const Spoken& spoken : spoken_)
    if (spoken.number >= from && !spoken.administrative()) return spoken.number;
  return next_number();
}

fix::Sent SpokenRange::read(uint64_t number) const { return spoken_[number - spoken_.front().number].sent; }

void encode_spoken(const fix::Peers& peers, const Spoken& spoken, std::string& out) {
  fix::Envelope envelope;
  envelope.begin_string = peers.begin_string;
  envelope.sender_comp_id = peers.sender_comp_id;
  envelope.target_comp_id = peers.target_comp_id;
  envelope.number = spoken.number;
  envelope.sending_time_ns = spoken.sent.sending_time_ns;
  envelope.timestamp_digits = peers.timestamp_digits;
  fix::encode(out, envelope, spoken.sent.draft);
}

}  // namespace heptane::fintech::fixgate
