#include "modules/iot/gateway/series/chunk.h"

#include <algorithm>
#include <array>
#include <bit>

#include "kernel/base/assert.h"
#include "kernel/base/crc32c.h"

namespace heptane::iot::series {

namespace {

constexpr size_t kCrcBytes = 4;
constexpr unsigned kDifferenceBits[] = {0, 12, 24, 40, 64};
constexpr unsigned kLongestForm = 4;
constexpr unsigned kLeadingBits = 5;
constexpr unsigned kLeadingMax = 31;
constexpr unsigned kLengthBits = 6;

uint64_t zigzag(uint64_t value) { return (value << 1) ^ (0 - (value >> 63)); }
uint64_t unzigzag(uint64_t value) { return (value >> 1) ^ (0 - (value & 1)); }

class BitWriter {
 public:
  explicit BitWriter(ByteWriter& out) : out_(out) {}
  void put(uint64_t value, unsigned count) {
    if (count == 0) return;
    if (count < kWordBits) value &= (uint64_t{1} << count) - 1;
    const unsigned free = kWordBits - filled_;
    if (count <= free) {
      word_ |= value << (free - count);
      filled_ += count;
    } else {
      word_ |= value >> (count - free);
      flush_word(kWordBits);
      word_ = value << (kWordBits - (count - free));
      filled_ = count - free;
    }
    if (filled_ == kWordBits) flush();
  }
  void flush() {
    flush_word(filled_);
    word_ = 0;
    filled_ = 0;
  }
  void put_difference(uint64_t difference) {
    const uint64_t value = zigzag(difference);
    unsigned form = value == 0 ? 0 : 1;
    while (form > 0 && form < kLongestForm && value >> kDifferenceBits[form] != 0) ++form;
    put((1U << form) - 1, form);
    if (form < kLongestForm) put(0, 1);
    put(value, kDifferenceBits[form]);
  }

 private:
  static constexpr unsigned kWordBits = 64;

  // Whole bytes, the highest first.
  void flush_word(unsigned bits) {
    std::array<std::byte, sizeof(uint64_t)> bytes{};
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(word_ >> (kWordBits - 8 - 8 * i));
    out_.append(Bytes(bytes).first((bits + 7) / 8));
  }

  ByteWriter& out_;
  uint64_t word_ = 0;
  unsigned filled_ = 0;
};

class BitReader {
 public:
  explicit BitReader(ByteReader& in) : in_(in) {}
  uint64_t get(unsigned count) {
    uint64_t value = 0;
    while (count > 0) {
      if (left_ == 0) {
        byte_ = in_.u8();
        left_ = 8;
      }
      const unsigned take = std::min(count, left_);
      value = value << take | ((byte_ >> (left_ - take)) & ((1U << take) - 1));
      left_ -= take;
      count -= take;
    }
    return value;
  }
  uint64_t get_difference() {
    unsigned form = 0;
    while (form < kLongestForm && get(1) == 1) ++form;
    return unzigzag(get(kDifferenceBits[form]));
  }

 private:
  ByteReader& in_;
  uint8_t byte_ = 0;
  unsigned left_ = 0;
};

void put_times(BitWriter& bits, const Column& column, size_t from, size_t to) {
  uint64_t before = 0;
  for (size_t i = from + 1; i < to; ++i) {
    const uint64_t delta = static_cast<uint64_t>(column.times[i]) - static_cast<uint64_t>(column.times[i - 1]);
    bits.put_difference(delta - before);
    before = delta;
  }
}

// 0: as before. 10: within the last window. 11: leading zeros, length less one, and the bits.
void put_reals(BitWriter& bits, const Column& column, size_t from, size_t to) {
  bits.put(column.bits[from], 64);
  unsigned leading = 0;
  unsigned length = 0;
  for (size_t i = from + 1; i < to; ++i) {
    const uint64_t differs = column.bits[i] ^ column.bits[i - 1];
    if (differs == 0) {
      bits.put(0, 1);
      continue;
    }
    const auto zeros = std::min(static_cast<unsigned>(std::countl_zero(differs)), kLeadingMax);
    const auto needed = 64 - zeros - static_cast<unsigned>(std::countr_zero(differs));
    const bool fits = length > 0 && zeros >= leading && differs << leading >> leading == differs &&
                      static_cast<unsigned>(std::countr_zero(differs)) >= 64 - leading - length;
    bits.put(fits ? 2 : 3, 2);
    if (!fits) {
      leading = zeros;
      length = needed;
      bits.put(leading, kLeadingBits);
      bits.put(length - 1, kLengthBits);
    }
    bits.put(differs >> (64 - leading - length), length);
  }
}

void get_reals(BitReader& bits, Column& column, size_t count, ByteReader& in) {
  uint64_t value = bits.get(64);
  column.bits.push_back(value);
  unsigned leading = 0;
  unsigned length = 0;
  for (size_t i = 1; i < count && !in.failed(); ++i) {
    if (bits.get(1) == 1) {
      if (bits.get(1) == 1) {
        leading = static_cast<unsigned>(bits.get(kLeadingBits));
        length = static_cast<unsigned>(bits.get(kLengthBits)) + 1;
      }
      if (length == 0 || leading + length > 64) return in.fail();
      value ^= bits.get(length) << (64 - leading - length);
    }
    column.bits.push_back(value);
  }
}

void put_values(BitWriter& bits, ByteWriter& out, const Column& column, size_t from, size_t to) {
  if (column.type == FieldType::real) put_reals(bits, column, from, to);
  uint64_t before = 0;
  for (size_t i = from; i < to; ++i) {
    if (column.type == FieldType::boolean) bits.put(column.bits[i], 1);
    if (column.type == FieldType::integer || column.type == FieldType::unsigned_integer) {
      bits.put_difference(column.bits[i] - before);
      before = column.bits[i];
    }
    if (!column.is_text()) continue;
    out.varint(column.texts[i].size());
    out.append(column.texts[i]);
  }
  bits.flush();
}

void get_texts(ByteReader& in, Column& column, size_t count) {
  for (size_t i = 0; i < count && !in.failed(); ++i) {
    const uint64_t size = in.varint();
    if (size > in.remaining()) return in.fail();
    column.texts.emplace_back(as_text(in.take(static_cast<size_t>(size))));
  }
}

void get_values(ByteReader& in, Column& column, size_t count) {
  if (column.is_text()) return get_texts(in, column, count);
  BitReader bits(in);
  if (column.type == FieldType::real) return get_reals(bits, column, count, in);
  uint64_t before = 0;
  for (size_t i = 0; i < count && !in.failed(); ++i) {
    before = column.type == FieldType::boolean ? bits.get(1) : before + bits.get_difference();
    column.bits.push_back(before);
  }
}

void get_times(ByteReader& in, Column& column, size_t count) {
  auto time = in.le<uint64_t>();
  column.times.push_back(static_cast<int64_t>(time));
  BitReader bits(in);
  uint64_t delta = 0;
  for (size_t i = 1; i < count && !in.failed(); ++i) {
    delta += bits.get_difference();
    time += delta;
    column.times.push_back(static_cast<int64_t>(time));
  }
}

}  // namespace

size_t chunk_end(const Column& column, size_t from) {
  const size_t most = std::min(column.size(), from + kChunkPointsMax);
  if (!column.is_text()) return most;
  size_t bytes = 0;
  size_t end = from;
  while (end < most && (end == from || bytes + column.texts[end].size() <= kChunkTextBytesMax))
    bytes += column.texts[end++].size();
  return end;
}

std::vector<std::byte> encode_chunk(const Column& column, size_t from, size_t to) {
  HEPTANE_ASSERT(from < to && to <= column.size() && to - from <= kChunkPointsMax, "a chunk has points");
  ByteWriter out;
  out.u8(static_cast<uint8_t>(column.type));
  out.le<uint32_t>(static_cast<uint32_t>(to - from));
  out.le<int64_t>(column.times[from]);
  BitWriter bits(out);
  put_times(bits, column, from, to);
  bits.flush();
  put_values(bits, out, column, from, to);
  out.le<uint32_t>(crc32c(out.view()));
  return out.release();
}

std::optional<Column> decode_chunk(Bytes chunk) {
  if (chunk.size() < kCrcBytes) return std::nullopt;
  const Bytes body = chunk.first(chunk.size() - kCrcBytes);
  if (crc32c(body) != load_le<uint32_t>(chunk.data() + body.size())) return std::nullopt;
  ByteReader in(body);
  const uint8_t type = in.u8();
  const auto count = in.le<uint32_t>();
  if (type > static_cast<uint8_t>(FieldType::unsigned_integer) || count == 0 || count > kChunkPointsMax)
    return std::nullopt;
  Column column;
  column.type = static_cast<FieldType>(type);
  get_times(in, column, count);
  get_values(in, column, count);
  if (!in.complete()) return std::nullopt;
  return column;
}

}  // namespace heptane::iot::series
