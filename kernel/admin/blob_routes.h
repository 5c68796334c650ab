// Blobs over HTTP: what their routes share. The I/O thread's; bytes are read and written by workers.
#pragma once

#include <functional>
#include <optional>

#include "kernel/blobs/blob_store.h"
#include "kernel/net/http/exchange.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/net/http/router.h"

namespace heptane::admin {

constexpr std::string_view kBinaryType = "application/octet-stream";
constexpr std::string_view kBinarySchema = R"({"type":"string","format":"binary"})";

// Of the path; none: the request has been answered.
std::optional<blobs::BlobDigest> digest_parameter(http::HttpExchange& exchange);

// Answers with the blob, as a request for one is answered: ranges, HEAD, 404. `standing`: whether the one who asks may still have it,
// asked before each piece; null: nobody is asked.
void send_blob(http::HttpExchange& exchange, blobs::BlobStore& store, const blobs::BlobDigest& digest,
               std::function<bool()> standing);

void add_blob_upload_routes(http::HttpRouter& router, blobs::BlobStore& store);
// The store outlives the router; it is opened before the first request.
void add_blob_routes(http::HttpRouter& router, blobs::BlobStore& store);

// `bytes=0-99`, `bytes=100-`, `bytes=-100` (RFC 9110 §14.1.2) of so many bytes.
struct ByteRange {
  enum class Kind : uint8_t { whole, part, unsatisfiable } kind = Kind::whole;  // several ranges, or none: the whole
  uint64_t begin = 0;
  uint64_t end = 0;  // one past the last
};
ByteRange parse_range(std::string_view header, uint64_t bytes);

}  // namespace heptane::admin
