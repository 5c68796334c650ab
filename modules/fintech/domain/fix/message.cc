#include "modules/fintech/domain/fix/message.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
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

// Makes fields of the places where they end.
class FieldReader {
 public:
  // `fields`: room for kFieldsMax and those of a block.
  FieldReader(std::string_view bytes, FieldView* fields) : bytes_(bytes), fields_(fields) {}

  // The ends in the block at `base`. None: they are read; else why the message is garbled.
  const char* read(uint64_t ends, size_t base) {
    for (; ends != 0; ends &= ends - 1) {
      const size_t end = base + static_cast<size_t>(__builtin_ctzll(ends));
      if (end < start_) continue;  // within data
      if (const char* why = read_field(end); why != nullptr) return why;
    }
    return count_ > kFieldsMax ? "too many fields" : nullptr;
  }
  size_t count() const { return count_; }

 private:
  // From where the last one ended to the first end behind; of data, to where the field before says.
  const char* read_field(size_t end) {
    // Digits end at the latest where the field does.
    const char* at = bytes_.data() + start_;
    const bool minus = *at == '-';
    if (minus) ++at;
    const char* const digits = at;
    uint32_t number = 0;
    for (uint32_t digit = 0; (digit = static_cast<uint32_t>(*at) - '0') <= 9; ++at) number = number * 10 + digit;
    if (*at != '=' || at == digits || at - digits > 9) return "a tag is no number";
    const int32_t tag = minus ? -static_cast<int32_t>(number) : static_cast<int32_t>(number);
    const auto value = static_cast<size_t>(at + 1 - bytes_.data());
    if (is_data(tag) && !read_length(tag, value, end)) return "a length of data is wrong";
    fields_[count_++] = {tag, static_cast<uint32_t>(value), static_cast<uint32_t>(end - value)};
    start_ = end + 1;
    return nullptr;
  }

  bool read_length(int32_t tag, size_t value, size_t& end) const {
    if (count_ == 0) return true;
    const FieldView& before = fields_[count_ - 1];
    if (before.tag != field_rule(static_cast<uint32_t>(tag)).length_tag) return true;
    const auto size = number_of(bytes_.substr(before.at, before.size));
    if (!size || *size >= bytes_.size() - value || bytes_[value + *size] != kSoh) return false;
    end = value + *size;
    return true;
  }

  const std::string_view bytes_;
  FieldView* const fields_;
  size_t count_ = 0;
  size_t start_ = 0;  // of the next field
};

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
  uint32_t sum = 0;
  if (const char* why = read_fields(sum); why != nullptr) return why;
  return check_frame(sum);
}

const char* Message::read_fields(uint32_t& sum) {
  if (bytes_.empty() || bytes_.back() != kSoh) return "does not end with a field";
  // A field has three bytes or more; after a block it is looked at how many there were.
  const size_t room = std::min(bytes_.size() / 3, kFieldsMax) + kBlock;
  if (fields_.size() < room) fields_.resize(room);
  FieldReader reader(bytes_, fields_.data());
  const char* why = nullptr;
  size_t base = 0;
  for (; base + kBlock <= bytes_.size() && why == nullptr; base += kBlock) {
    const Block block = look_at(bytes_.data() + base);
    sum += block.sum;
    why = reader.read(block.ends, base);
  }
  if (base < bytes_.size() && why == nullptr) {
    char last[kBlock] = {};
    std::memcpy(last, bytes_.data() + base, bytes_.size() - base);
    const Block block = look_at(last);
    sum += block.sum;
    why = reader.read(block.ends, base);
  }
  count_ = reader.count();
  return why;
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
