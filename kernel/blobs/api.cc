#include "kernel/blobs/api.h"

#include <algorithm>

namespace heptane::blobs {

namespace {

constexpr size_t kInfoBytes = 32 + 3 * 8;

Error malformed() { return Error{Errc::invalid_argument, "malformed command or query of blobs"}; }

BlobDigest take_digest(ByteReader& reader) {
  BlobDigest digest{};
  const Bytes bytes = reader.take(digest.size());
  if (!reader.failed()) std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

}  // namespace

Buffer encode(const Blob& blob) {
  ByteWriter out;
  out.append(blob.digest);
  out.le(blob.bytes);
  return Buffer::take(out.release());
}

Buffer encode(const BlobDigest& digest) { return Buffer::copy_of(Bytes(digest)); }

Buffer encode(const ListBlobs& list) {
  ByteWriter out;
  out.u8(list.after ? 1 : 0);
  out.append(list.after.value_or(BlobDigest{}));
  out.le(list.limit);
  return Buffer::take(out.release());
}

Buffer encode(const std::vector<BlobInfo>& infos) {
  ByteWriter out;
  out.le(static_cast<uint32_t>(infos.size()));
  for (const BlobInfo& info : infos) {
    out.append(info.digest);
    out.le(info.bytes);
    out.le(info.references);
    out.le(info.created);
  }
  return Buffer::take(out.release());
}

Result<Blob> decode_blob(Bytes payload) {
  ByteReader reader(payload);
  Blob blob;
  blob.digest = take_digest(reader);
  blob.bytes = reader.le<uint64_t>();
  if (!reader.complete()) return malformed();
  return blob;
}

Result<BlobDigest> decode_digest(Bytes payload) {
  ByteReader reader(payload);
  const BlobDigest digest = take_digest(reader);
  if (!reader.complete()) return malformed();
  return digest;
}

Result<ListBlobs> decode_list_blobs(Bytes payload) {
  ByteReader reader(payload);
  ListBlobs list;
  const bool after = reader.u8() != 0;
  const BlobDigest digest = take_digest(reader);
  if (after) list.after = digest;
  list.limit = reader.le<uint32_t>();
  if (!reader.complete() || list.limit == 0 || list.limit > kListLimit) return malformed();
  return list;
}

Result<std::vector<BlobInfo>> decode_blob_infos(Bytes payload) {
  ByteReader reader(payload);
  const auto count = reader.le<uint32_t>();
  if (reader.failed() || !reader.fits(count, kInfoBytes)) return malformed();
  std::vector<BlobInfo> infos(count);
  for (BlobInfo& info : infos) {
    info.digest = take_digest(reader);
    info.bytes = reader.le<uint64_t>();
    info.references = reader.le<uint64_t>();
    info.created = reader.le<LogTime>();
  }
  if (!reader.complete()) return malformed();
  return infos;
}

}  // namespace heptane::blobs
