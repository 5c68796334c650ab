#include "kernel/streams/inflate.h"
#include "kernel/streams/record_batch.h"

#include <lz4frame.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace heptane::streams {

namespace {

constexpr size_t kStepBytes = size_t{64} << 10;
constexpr int kZstdWindowLogMax = 23;

Error corrupt(const char* codec) { return Error{Errc::corrupt, std::string("not what ") + codec + " writes"}; }
Error too_large() { return Error{Errc::too_large, "the inflated bytes pass the limit"}; }

// Grows step by step up to the limit and one byte: a result longer than the limit is one that passes it.
class Output {
 public:
  explicit Output(size_t limit) : limit_(limit) {}
  // Room behind what is there; empty when the limit is passed.
  MutableBytes room() {
    if (used_ == bytes_.size()) bytes_.resize(std::min(limit_ + 1, std::max(kStepBytes, used_ * 2)));
    return MutableBytes(bytes_).subspan(used_);
  }
  void used(size_t count) { used_ += count; }
  bool passed() const { return used_ > limit_; }
  std::vector<std::byte> take() {
    bytes_.resize(used_);
    return std::move(bytes_);
  }

 private:
  size_t limit_;
  size_t used_ = 0;
  std::vector<std::byte> bytes_;
};

Result<std::vector<std::byte>> inflate_gzip(Bytes input, size_t limit) {
  constexpr int kGzipOrZlib = 15 + 32;
  z_stream stream{};
  if (inflateInit2(&stream, kGzipOrZlib) != Z_OK) return Error{Errc::overloaded, "no memory for zlib"};
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(input.data()));
  stream.avail_in = static_cast<uInt>(input.size());
  Output out(limit);
  for (;;) {
    const MutableBytes room = out.room();
    stream.next_out = reinterpret_cast<Bytef*>(room.data());
    stream.avail_out = static_cast<uInt>(room.size());
    const int result = ::inflate(&stream, Z_NO_FLUSH);
    out.used(room.size() - stream.avail_out);
    if (out.passed()) return too_large();
    if (result == Z_STREAM_END) return out.take();
    if (result != Z_OK || (stream.avail_in == 0 && stream.avail_out != 0)) return corrupt("gzip");
  }
}

Result<void> inflate_snappy_block(Bytes block, size_t limit, std::vector<std::byte>& out) {
  const auto* data = reinterpret_cast<const char*>(block.data());
  size_t length = 0;
  if (!snappy::GetUncompressedLength(data, block.size(), &length)) return corrupt("snappy");
  if (length > limit - out.size()) return too_large();
  if (!snappy::IsValidCompressedBuffer(data, block.size())) return corrupt("snappy");
  const size_t at = out.size();
  out.resize(at + length);
  if (!snappy::RawUncompress(data, block.size(), reinterpret_cast<char*>(out.data() + at))) return corrupt("snappy");
  return {};
}

// Java's clients put blocks behind a header of 16 bytes: \x82 SNAPPY \0, version, compatible version.
Result<std::vector<std::byte>> inflate_snappy(Bytes input, size_t limit) {
  constexpr std::string_view kMagic("\x82SNAPPY\0", 8);
  constexpr size_t kHeaderBytes = 16;
  std::vector<std::byte> out;
  if (input.size() < kHeaderBytes || as_text(input.subspan(0, kMagic.size())) != kMagic) {
    HEPTANE_TRY(inflate_snappy_block(input, limit, out));
    return out;
  }
  ByteReader reader(input.subspan(kHeaderBytes));
  while (reader.remaining() > 0) {
    const auto length = reader.be<uint32_t>();
    const Bytes block = reader.take(length);
    if (reader.failed()) return corrupt("snappy");
    HEPTANE_TRY(inflate_snappy_block(block, limit, out));
  }
  return out;
}

Result<std::vector<std::byte>> inflate_lz4(Bytes input, size_t limit) {
  LZ4F_dctx* made = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&made, LZ4F_VERSION)))
    return Error{Errc::overloaded, "no memory for lz4"};
  const std::unique_ptr<LZ4F_dctx, LZ4F_errorCode_t (*)(LZ4F_dctx*)> context(made, LZ4F_freeDecompressionContext);
  Output out(limit);
  for (;;) {
    const MutableBytes room = out.room();
    size_t written = room.size();
    size_t read = input.size();
    const size_t left = LZ4F_decompress(context.get(), room.data(), &written, input.data(), &read, nullptr);
    if (LZ4F_isError(left)) return corrupt("lz4");
    out.used(written);
    input = input.subspan(read);
    if (out.passed()) return too_large();
    if (left == 0) return out.take();
    if (input.empty() && written < room.size()) return corrupt("lz4");
  }
}

Result<std::vector<std::byte>> inflate_zstd(Bytes input, size_t limit) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
  if (!context) return Error{Errc::overloaded, "no memory for zstd"};
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kZstdWindowLogMax);
  ZSTD_inBuffer in{input.data(), input.size(), 0};
  Output out(limit);
  for (;;) {
    const MutableBytes room = out.room();
    ZSTD_outBuffer to{room.data(), room.size(), 0};
    const size_t left = ZSTD_decompressStream(context.get(), &to, &in);
    if (ZSTD_isError(left)) return corrupt("zstd");
    out.used(to.pos);
    if (out.passed()) return too_large();
    if (left == 0) return out.take();
    if (in.pos == in.size && to.pos < to.size) return corrupt("zstd");
  }
}

}  // namespace

Result<std::vector<std::byte>> inflate(Codec codec, Bytes input, size_t limit_bytes) {
  switch (codec) {
    case Codec::gzip: return inflate_gzip(input, limit_bytes);
    case Codec::snappy: return inflate_snappy(input, limit_bytes);
    case Codec::lz4: return inflate_lz4(input, limit_bytes);
    case Codec::zstd: return inflate_zstd(input, limit_bytes);
    case Codec::none: break;
  }
  return Error{Errc::unsupported, "there is no such codec"};
}

Result<std::vector<std::byte>> inflate_batch(Bytes batch, size_t limit_bytes) {
  const Result<RecordBatchInfo> info = decode_record_batch_header(batch);
  if (!info) return info.error();
  constexpr uint16_t kCodecMask = 7;
  const Bytes records = batch.subspan(kRecordBatchHeaderBytes, info->total_bytes - kRecordBatchHeaderBytes);
  Result<std::vector<std::byte>> plain =
      inflate(static_cast<Codec>(info->attributes & kCodecMask), records, limit_bytes);
  if (!plain) return std::move(plain.error());
  std::vector<std::byte> out(kRecordBatchHeaderBytes + plain->size());
  std::copy_n(batch.begin(), kRecordBatchHeaderBytes, out.begin());
  std::copy(plain->begin(), plain->end(), out.begin() + kRecordBatchHeaderBytes);
  namespace layout = record_batch_layout;
  store_be<int32_t>(out.data() + layout::kBatchLength, static_cast<int32_t>(out.size() - layout::kLeaderEpoch));
  store_be<uint16_t>(out.data() + layout::kAttributes, static_cast<uint16_t>(info->attributes & ~kCodecMask));
  return out;
}

}  // namespace heptane::streams
