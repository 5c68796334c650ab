#include "modules/fintech/domain/fix/message.h"

#include <cstring>

#include "modules/fintech/domain/fix/tags.h"
#include "modules/fintech/domain/fix/values.h"

namespace heptane::fix {

namespace {

constexpr std::string_view kBegin = "8=FIX";
constexpr std::string_view kEnd =
    "\x01"
    "10=";
constexpr size_t kBeginStringMax = 16;
constexpr size_t kLengthDigitsMax = 6;
constexpr size_t kTrailerSize = 7;  // 10=ddd and the end of the field

Frame partial(size_t begin) { return {Frame::Kind::partial, begin, 0}; }
Frame garbled(size_t begin) { return {Frame::Kind::garbled, begin, kBegin.size()}; }

// Where a message may begin: kBegin, or what may become it when more comes.
size_t find_begin(std::string_view input) {
  const size_t at = input.find(kBegin);
  if (at != std::string_view::npos) return at;
  for (size_t kept = std::min(input.size(), kBegin.size() - 1); kept > 0; --kept)
    if (input.ends_with(kBegin.substr(0, kept))) return input.size() - kept;
  return input.size();
}

struct Field {
  size_t begin = 0;  // of its value
  size_t end = 0;    // where its SOH stands
  bool whole = false;
  bool wrong = false;
};

// The field at a place, whose name and longest value are known.
Field field_at(std::string_view input, size_t at, std::string_view name, size_t longest) {
  Field field;
  const std::string_view there = input.substr(at, name.size());
  if (there != name) {
    field.wrong = !name.starts_with(there);
    return field;
  }
  field.begin = at + name.size();
  field.end = input.find(kSoh, field.begin);
  if (field.end != std::string_view::npos && field.end - field.begin <= longest) {
    field.whole = true;
  } else {
    field.wrong = input.size() - field.begin > longest;
  }
  return field;
}

// Of bytes: the sum modulo 256. Eight at a time, in lanes of 16 bits that cannot overflow within a block.
uint32_t sum_of(std::string_view bytes) {
  constexpr uint64_t kLanes = 0x00FF00FF00FF00FFu;
  uint64_t sum = 0;
  size_t at = 0;
  while (bytes.size() - at >= 8) {
    const size_t end = std::min(bytes.size(), at + 8 * 128) - 7;
    uint64_t lanes = 0;
    for (; at < end; at += 8) {
      uint64_t word;
      std::memcpy(&word, bytes.data() + at, sizeof word);
      lanes += (word & kLanes) + (word >> 8 & kLanes);
    }
    sum += (lanes & 0xFFFF) + (lanes >> 16 & 0xFFFF) + (lanes >> 32 & 0xFFFF) + (lanes >> 48);
  }
  for (; at < bytes.size(); ++at) sum += static_cast<unsigned char>(bytes[at]);
  return static_cast<uint32_t>(sum & 0xFF);
}

}  // namespace

Frame next_frame(std::string_view input) {
  const size_t begin = find_begin(input);
  if (input.size() - begin < kBegin.size()) return partial(begin);
  const Field first = field_at(input, begin, "8=", kBeginStringMax);
  if (!first.whole) return first.wrong ? garbled(begin) : partial(begin);
  const Field length = field_at(input, first.end + 1, "9=", kLengthDigitsMax);
  if (!length.whole) return length.wrong ? garbled(begin) : partial(begin);
  const auto size = number_of(input.substr(length.begin, length.end - length.begin));
  if (!size || *size > kMessageMax) return garbled(begin);

  // From the last byte of what the length says on: that should be the end of a field.
  const size_t from = length.end + *size;
  if (from >= input.size()) return partial(begin);
  const std::string_view within = input.substr(0, begin + kMessageMax);
  const size_t trailer = within.find(kEnd, from);
  const size_t end = trailer == std::string_view::npos ? trailer : within.find(kSoh, trailer + kEnd.size());
  if (end != std::string_view::npos) return {Frame::Kind::whole, begin, end + 1 - begin};
  return input.size() - begin >= kMessageMax ? garbled(begin) : partial(begin);
}

const char* Message::read(std::string_view frame) {
  bytes_ = frame;
  count_ = 0;
  if (const char* why = read_fields(); why != nullptr) return why;
  return check_frame();
}

void Message::add(int32_t tag, size_t at, size_t size) {
  if (count_ == fields_.size()) fields_.resize(std::min(kFieldsMax, std::max<size_t>(64, count_ * 2)));
  fields_[count_++] = {tag, static_cast<uint32_t>(at), static_cast<uint32_t>(size)};
}

const char* Message::read_fields() {
  if (bytes_.empty() || bytes_.back() != kSoh) return "does not end with a field";
  const char* const begin = bytes_.data();
  const char* const end = begin + bytes_.size();
  for (const char* at = begin; at < end;) {
    // Every loop below ends at the last byte, which is none of what it looks past.
    const char* const name = at;
    const bool minus = *at == '-';
    if (minus) ++at;
    const char* const digits = at;
    uint32_t tag = 0;
    for (uint32_t digit = 0; (digit = static_cast<uint32_t>(*at) - '0') <= 9; ++at) tag = tag * 10 + digit;
    if (*at != '=' || at == digits || at - name > 9) return "a tag is no number";
    const char* const value = ++at;
    const auto signed_tag = minus ? -static_cast<int32_t>(tag) : static_cast<int32_t>(tag);
    if (is_data(signed_tag) && count_ > 0 && fields_[count_ - 1].tag == field_rule(tag).length_tag) {
      const auto size = number_of(this->value(fields_[count_ - 1]));
      if (!size || *size >= static_cast<size_t>(end - value) || value[*size] != kSoh)
        return "a length of data is wrong";
      at = value + *size;
    } else {
      while (*at != kSoh) ++at;
    }
    if (count_ == kFieldsMax) return "too many fields";
    add(signed_tag, static_cast<size_t>(value - begin), static_cast<size_t>(at - value));
    ++at;
  }
  return nullptr;
}

const char* Message::check_frame() const {
  if (count_ < 4 || fields_[0].tag != kBeginString || fields_[1].tag != kBodyLength || fields_[2].tag != kMsgType)
    return "does not begin with 8, 9, 35";
  const FieldView& last = fields_[count_ - 1];
  if (last.tag != kCheckSum || last.size != 3) return "does not end with 10";
  const size_t body = fields_[1].at + fields_[1].size + 1;
  const size_t trailer = bytes_.size() - kTrailerSize;
  if (number_of(value(fields_[1])) != trailer - body) return "BodyLength(9) is wrong";
  if (number_of(value(last)) != sum_of(bytes_.substr(0, trailer))) return "CheckSum(10) is wrong";
  return nullptr;
}

std::optional<std::string_view> Message::find(int32_t tag) const {
  for (size_t i = 0; i < count_; ++i)
    if (fields_[i].tag == tag) return value(fields_[i]);
  return std::nullopt;
}

std::optional<uint64_t> Message::number(int32_t tag) const {
  const auto text = find(tag);
  return text ? number_of(*text) : std::nullopt;
}

std::optional<int64_t> Message::integer(int32_t tag) const {
  const auto text = find(tag);
  return text ? integer_of(*text) : std::nullopt;
}

std::optional<int64_t> Message::decimal(int32_t tag, int scale) const {
  const auto text = find(tag);
  return text ? decimal_of(*text, scale) : std::nullopt;
}

std::optional<int64_t> Message::timestamp(int32_t tag) const {
  const auto text = find(tag);
  return text ? timestamp_of(*text) : std::nullopt;
}

bool Message::flag(int32_t tag) const { return find(tag) == "Y"; }

Entries::Entries(std::span<const FieldView> fields, const ScopeRule& scope, int32_t count_tag)
    : scope_(group_scope(scope, count_tag)) {
  size_t at = 0;
  while (at < fields.size() && fields[at].tag != count_tag) ++at;
  if (at < fields.size()) rest_ = fields.subspan(at + 1);
}

bool Entries::next(std::span<const FieldView>& entry) {
  if (scope_ < 0 || rest_.empty()) return false;
  const ScopeRule& rule = scope_rule(scope_);
  if (slot_of(rest_[0].tag) != rule.first_slot) return false;
  size_t end = 1;
  for (; end < rest_.size(); ++end) {
    const uint32_t slot = slot_of(rest_[end].tag);
    if (slot == rule.first_slot || !rule.inside.has(slot)) break;
  }
  entry = rest_.first(end);
  rest_ = rest_.subspan(end);
  return true;
}

}  // namespace heptane::fix
