#include "modules/fintech/domain/fix/encode.h"

#include "modules/fintech/domain/fix/tags.h"
#include "modules/fintech/domain/fix/values.h"

namespace heptane::fix {

namespace {

void add_name(std::string& out, int32_t tag) {
  append_integer(out, tag);
  out += '=';
}

void add_check_sum(std::string& out, size_t begin) {
  uint32_t sum = 0;
  for (size_t i = begin; i < out.size(); ++i) sum += static_cast<unsigned char>(out[i]);
  sum &= 0xFF;
  const char digits[] = {static_cast<char>('0' + sum / 100), static_cast<char>('0' + sum / 10 % 10),
                         static_cast<char>('0' + sum % 10)};
  add_field(out, kCheckSum, std::string_view(digits, sizeof digits));
}

}  // namespace

void add_field(std::string& out, int32_t tag, std::string_view value) {
  add_name(out, tag);
  out += value;
  out += kSoh;
}

void add_field(std::string& out, int32_t tag, int64_t value) {
  add_name(out, tag);
  append_integer(out, value);
  out += kSoh;
}

void add_decimal(std::string& out, int32_t tag, int64_t value, int scale) {
  add_name(out, tag);
  append_decimal(out, value, scale);
  out += kSoh;
}

void add_timestamp(std::string& out, int32_t tag, int64_t time_ns, int digits) {
  add_name(out, tag);
  append_timestamp(out, time_ns, digits);
  out += kSoh;
}

void encode(std::string& out, const Envelope& envelope, const Draft& draft) {
  const size_t begin = out.size();
  add_field(out, kBeginString, envelope.begin_string);
  // BodyLength goes before what it counts: it is put in when that is known.
  const size_t body = out.size();
  add_field(out, kMsgType, draft.type);
  add_field(out, kMsgSeqNum, static_cast<int64_t>(envelope.number));
  if (envelope.original_time_ns) add_field(out, kPossDupFlag, "Y");
  add_field(out, kSenderCompID, envelope.sender_comp_id);
  add_timestamp(out, kSendingTime, envelope.sending_time_ns, envelope.timestamp_digits);
  add_field(out, kTargetCompID, envelope.target_comp_id);
  out += draft.header;
  if (envelope.original_time_ns)
    add_timestamp(out, kOrigSendingTime, *envelope.original_time_ns, envelope.timestamp_digits);
  out += draft.body;
  std::string length;
  add_field(length, kBodyLength, static_cast<int64_t>(out.size() - body));
  out.insert(body, length);
  add_check_sum(out, begin);
}

}  // namespace heptane::fix
