#include "modules/data/gateway/kafka/codec.h"

#include "kernel/base/assert.h"

namespace heptane::data::kafka {

// Strings have 16 bits of length, arrays and records 32; compact ones a varint of the length plus one.
int64_t Decoder::length(bool wide) {
  int64_t length = -1;
  if (encoding_.flexible) {
    const uint64_t plus_one = reader_.varint();
    if (plus_one > std::numeric_limits<uint32_t>::max()) reader_.fail();
    length = static_cast<int64_t>(plus_one) - 1;
  } else {
    length = wide ? reader_.be<int32_t>() : reader_.be<int16_t>();
    if (length < -1) reader_.fail();
  }
  return reader_.failed() ? -1 : length;
}

bool Decoder::admit(int64_t count, size_t bytes_each) {
  const auto wanted = static_cast<uint64_t>(count);
  if (reader_.failed() || wanted > elements_left_ || !reader_.fits(wanted, bytes_each)) {
    reader_.fail();
    return false;
  }
  elements_left_ -= static_cast<uint32_t>(wanted);
  return true;
}

void Decoder::skip_tagged_fields() {
  const uint64_t count = reader_.varint();
  if (!reader_.fits(count, 2)) return reader_.fail();
  for (uint64_t i = 0; i < count && !reader_.failed(); ++i) {
    reader_.varint();  // tag
    reader_.skip(reader_.varint());
  }
}

void Encoder::length(int64_t length, bool wide) {
  if (encoding_.flexible) return out_.varint(static_cast<uint64_t>(length + 1));
  if (wide) return out_.be(static_cast<int32_t>(length));
  HEPTANE_ASSERT(length <= std::numeric_limits<int16_t>::max(), "a string of a Kafka message is too long");
  out_.be(static_cast<int16_t>(length));
}

void Encoder::records(const Records& value) {
  if (value.null) return length(-1, true);
  length(static_cast<int64_t>(value.size()), true);
  out_.append(value.view);
  for (const Buffer& part : value.parts) {
    splices_.push_back({out_.size(), part});
    spliced_bytes_ += part.size();
  }
}

std::vector<Buffer> Encoder::finish() {
  const Buffer written = Buffer::take(out_.release());
  std::vector<Buffer> pieces;
  size_t done = 0;
  for (Splice& splice : splices_) {
    if (splice.at > done) pieces.push_back(written.slice(done, splice.at - done));
    pieces.push_back(std::move(splice.bytes));
    done = splice.at;
  }
  if (done < written.size()) pieces.push_back(written.slice(done));
  return pieces;
}

}  // namespace heptane::data::kafka
