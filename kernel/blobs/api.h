// Commands and queries of the machine that knows which blobs there are (machine_ids::kBlobs). A blob's bytes are a file
// (blob_store.h), whole and synced before the command that names it; the log holds digest and length alone.
// Payloads are little-endian and of fixed length.
#pragma once

#include <optional>
#include <vector>

#include "kernel/blobs/blob_store.h"
#include "kernel/shard/messages.h"

namespace heptane::blobs {

constexpr size_t kBlobsLimit = size_t{1} << 20;  // names in the state
constexpr uint32_t kListLimit = 1000;            // of one answer

enum BlobCommand : CommandType {
  kPutBlob = 1,   // Blob: it is kept until it is dropped. Reply numbers: references, log time when it was first named.
                  // Refused: overloaded (kBlobsLimit), invalid_argument (another length)
  kDropBlob = 2,  // digest: it is kept by nobody but the machines that refer to it. Reply numbers: references left.
                  // Refused: not_found, refused (it was dropped before and machines refer to it)
};

enum BlobQuery : uint16_t {
  kFindBlob = 1,   // digest; answered by one BlobInfo. Refused: not_found
  kListBlobs = 2,  // ListBlobs; answered by BlobInfos in order of digest; reply number: how many there are in all
};

struct BlobInfo {
  BlobDigest digest{};
  uint64_t bytes = 0;
  uint64_t references = 0;  // by machines, and one more while it is kept for its own sake
  LogTime created = 0;
};

struct ListBlobs {
  std::optional<BlobDigest> after;
  uint32_t limit = kListLimit;
};

Buffer encode(const Blob& blob);
Buffer encode(const BlobDigest& digest);
Buffer encode(const ListBlobs& list);
Buffer encode(const std::vector<BlobInfo>& infos);
Result<Blob> decode_blob(Bytes payload);
Result<BlobDigest> decode_digest(Bytes payload);
Result<ListBlobs> decode_list_blobs(Bytes payload);
Result<std::vector<BlobInfo>> decode_blob_infos(Bytes payload);

}  // namespace heptane::blobs
