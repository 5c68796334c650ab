#include "modules/fintech/domain/fix/message.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstring>

#include "modules/fintech/domain/fix/shapes.h"
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
  field.end = input.substr(0, field.begin + longest + 1).find(kSoh, field.begin);
  if (field.end != std::string_view::npos && field.end - field.begin <= longest) {
    field.whole = true;
  } else {
    field.wrong = input.size() - field.begin > longest;
  }
  return field;
}

constexpr size_t kBlock = 64;

// Which of 64 bytes end a field, and the sum of all of them.
struct Block {
  uint64_t ends = 0;
  uint32_t sum = 0;
};

#ifdef __SSE2__
Block look_at(const char* bytes) {
  Block block;
  __m128i sums = _mm_setzero_si128();
  for (size_t at = 0; at < kBlock; at += 16) {
    const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + at));
    const int ends = _mm_movemask_epi8(_mm_cmpeq_epi8(part, _mm_set1_epi8(kSoh)));
    block.ends |= static_cast<uint64_t>(static_cast<uint32_t>(ends)) << at;
    sums = _mm_add_epi64(sums, _mm_sad_epu8(part, _mm_setzero_si128()));
  }
  block.sum = static_cast<uint32_t>(_mm_cvtsi128_si32(sums) + _mm_cvtsi128_si32(_mm_unpackhi_epi64(sums, sums)));
  return block;
}
#else
Block look_at(const char* bytes) {
  Block block;
  for (size_t at = 0; at < kBlock; ++at) {
    if (bytes[at] == kSoh) block.ends |= uint64_t{1} << at;
    block.sum += static_cast<unsigned char>(bytes[at]);
  }
  return block;
}
#endif

// The places where fields may end; those within data end none. False: more than kFieldsMax.
bool find_ends(std::string_view bytes, std::vector<uint32_t>& ends, size_t& count, uint32_t& sum) {
  // A block is written before it is looked at how many there are.
  if (ends.size() < std::min(bytes.size(), kFieldsMax) + kBlock)
    ends.resize(std::min(bytes.size(), kFieldsMax) + kBlock);
  uint32_t* out = ends.data();
  const auto take = [&](const Block& block, size_t base) {
    sum += block.sum;
    for (uint64_t left = block.ends; left != 0; left &= left - 1)
      *out++ = static_cast<uint32_t>(base) + static_cast<uint32_t>(__builtin_ctzll(left));
    count = static_cast<size_t>(out - ends.data());
    return count <= kFieldsMax;
  };
  size_t base = 0;
  for (; base + kBlock <= bytes.size(); base += kBlock)
    if (!take(look_at(bytes.data() + base), base)) return false;
  if (base == bytes.size()) return true;
  char last[kBlock] = {};
  std::memcpy(last, bytes.data() + base, bytes.size() - base);
  return take(look_at(last), base);
}

// False: it has no number and `=`. It ends where the field does at the latest: that is no digit.
bool read_tag(std::string_view bytes, size_t start, FieldView& field) {
  const char* at = bytes.data() + start;
  const bool minus = *at == '-';
  if (minus) ++at;
  const char* const digits = at;
  uint32_t number = 0;
  for (uint32_t digit = 0; (digit = static_cast<uint32_t>(*at) - '0') <= 9; ++at) number = number * 10 + digit;
  if (*at != '=' || at == digits || at - digits > 9) return false;
  field.tag = minus ? -static_cast<int32_t>(number) : static_cast<int32_t>(number);
  field.at = static_cast<uint32_t>(at + 1 - bytes.data());
  return true;
}

// Where a field of data ends, if the one before says; otherwise `end`. 0: that is wrong.
size_t end_of_data(std::string_view bytes, const FieldView& before, const FieldView& field, size_t end) {
  if (before.tag != field_rule(static_cast<uint32_t>(field.tag)).length_tag) return end;
  const auto size = number_of(bytes.substr(before.at, before.size));
  if (!size || *size >= bytes.size() - field.at || bytes[field.at + *size] != kSoh) return 0;
  return field.at + *size;
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
  if (input.size() - begin < kMessageMax) return partial(begin);
  // All that was searched goes: it would be searched again from each beginning in it.
  return {Frame::Kind::garbled, begin, kMessageMax};
}

[[gnu::flatten]] const char* Message::read(std::string_view frame, const Shapes* shapes) {
  bytes_ = frame;
  count_ = 0;
  shape_ = nullptr;
  if (bytes_.empty() || bytes_.back() != kSoh) return "does not end with a field";
  size_t ends = 0;
  uint32_t sum = 0;
  if (!find_ends(bytes_, ends_, ends, sum)) return "too many fields";
  if (fields_.size() < ends) fields_.resize(ends_.size());
  if (const char* why = read_fields(shapes, ends); why != nullptr) return why;
  return check_frame(sum);
}

const char* Message::read_fields(const Shapes* shapes, size_t ends) {
  size_t start = 0;
  for (size_t i = 0; i < ends; ++i) {
    size_t end = ends_[i];
    if (end < start) continue;  // within data
    if (i == 3 && count_ == 3 && shapes != nullptr) {
      const Shape* shape = shapes->find(type(), ends);
      if (shape != nullptr && read_known(*shape)) {
        shape_ = shape;
        i = count_;
        start = ends_[i - 1] + 1;
        end = ends_[i];
      }
    }
    FieldView& field = fields_[count_];
    if (!read_tag(bytes_, start, field)) return "a tag is no number";
    if (is_data(field.tag) && count_ > 0) end = end_of_data(bytes_, fields_[count_ - 1], field, end);
    if (end == 0) return "a length of data is wrong";
    field.size = static_cast<uint32_t>(end - field.at);
    field.number.kind = Number::Kind::unknown;
    ++count_;
    start = end + 1;
  }
  return nullptr;
}

// The fields from the fourth one on, but for the last one. False, and none is read: they have other names.
bool Message::read_known(const Shape& shape) {
  const size_t first = count_;
  size_t i = first;
  for (const KnownField& known : shape.fields) {
    const size_t start = ends_[i - 1] + 1;
    uint64_t name;
    if (start + sizeof name > bytes_.size()) return false;
    std::memcpy(&name, bytes_.data() + start, sizeof name);
    if ((name & known.mask) != known.name) return false;
    const auto at = static_cast<uint32_t>(start) + known.name_size;
    fields_[i] = {known.tag, at, ends_[i] - at, {}};
    ++i;
  }
  count_ = i;
  return true;
}

// `sum`: of all bytes.
const char* Message::check_frame(uint32_t sum) const {
  if (count_ < 4 || fields_[0].tag != kBeginString || fields_[1].tag != kBodyLength || fields_[2].tag != kMsgType)
    return "does not begin with 8, 9, 35";
  const FieldView& last = fields_[count_ - 1];
  if (last.tag != kCheckSum || last.size != 3) return "does not end with 10";
  const size_t body = fields_[1].at + fields_[1].size + 1;
  const size_t trailer = bytes_.size() - kTrailerSize;
  if (number_of(value(fields_[1])) != trailer - body) return "BodyLength(9) is wrong";
  for (size_t i = trailer; i < bytes_.size(); ++i) sum -= static_cast<unsigned char>(bytes_[i]);
  if (number_of(value(last)) != (sum & 0xFF)) return "CheckSum(10) is wrong";
  return nullptr;
}

const FieldView* Message::field(int32_t tag) const {
  for (size_t i = 0; i < count_; ++i)
    if (fields_[i].tag == tag) return &fields_[i];
  return nullptr;
}

std::optional<std::string_view> Message::find(int32_t tag) const {
  const FieldView* found = field(tag);
  return found != nullptr ? std::optional(value(*found)) : std::nullopt;
}

std::optional<uint64_t> Message::number(int32_t tag) const {
  const auto text = find(tag);
  return text ? number_of(*text) : std::nullopt;
}

std::optional<int64_t> Message::integer(int32_t tag) const {
  const FieldView* found = field(tag);
  return found != nullptr ? integer(*found) : std::nullopt;
}

std::optional<int64_t> Message::decimal(int32_t tag, int scale) const {
  const FieldView* found = field(tag);
  return found != nullptr ? decimal(*found, scale) : std::nullopt;
}

std::optional<int64_t> Message::timestamp(int32_t tag) const {
  const FieldView* found = field(tag);
  return found != nullptr ? timestamp(*found) : std::nullopt;
}

std::optional<int64_t> Message::integer(const FieldView& field) const {
  return field.number.kind == Number::Kind::whole ? field.number.value : integer_of(value(field));
}

std::optional<int64_t> Message::decimal(const FieldView& field, int scale) const {
  const bool known = field.number.kind == Number::Kind::whole || field.number.kind == Number::Kind::decimal;
  return known ? decimal_of(field.number, scale) : decimal_of(value(field), scale);
}

std::optional<int64_t> Message::timestamp(const FieldView& field) const {
  return field.number.kind == Number::Kind::time ? field.number.value : timestamp_of(value(field));
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
