#include "kernel/base/bytes.h"

namespace heptane {

Buffer Buffer::copy_of(Bytes bytes) { return take(std::vector<std::byte>(bytes.begin(), bytes.end())); }

Buffer Buffer::take(std::vector<std::byte>&& bytes) {
  auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  const Bytes view = *owner;
  return Buffer(std::move(owner), view);
}

Buffer Buffer::take(std::string&& text) {
  auto owner = std::make_shared<const std::string>(std::move(text));
  const Bytes view = as_bytes(*owner);
  return Buffer(std::move(owner), view);
}

Bytes ByteReader::take(size_t count) {
  if (failed_ || count > remaining()) {
    failed_ = true;
    return {};
  }
  const Bytes taken = input_.subspan(position_, count);
  position_ += count;
  return taken;
}

// Most are of one byte.
uint64_t ByteReader::varint() {
  if (!failed_ && position_ < input_.size() && (input_[position_] & std::byte{0x80}) == std::byte{0})
    return static_cast<uint64_t>(input_[position_++]);
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const uint8_t byte = u8();
    if (failed_) return 0;
    if (shift == 63 && byte > 1) break;
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  failed_ = true;
  return 0;
}

int64_t ByteReader::zigzag() {
  const uint64_t value = varint();
  return static_cast<int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

void ByteWriter::varint(uint64_t value) {
  std::byte* at = grow(varint_size(value));
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<std::byte>(value | 0x80);
  *at = static_cast<std::byte>(value);
}

void ByteWriter::zigzag(int64_t value) { varint(zigzag_encoded(value)); }

size_t varint_size(uint64_t value) noexcept {
  const unsigned bits = value == 0 ? 1 : 64U - static_cast<unsigned>(__builtin_clzll(value));
  return (bits + 6) / 7;
}

}  // namespace heptane
