// PUT a blob: every piece of the body goes to a worker, which writes it and at the end syncs file and name; then a command
// that names digest and length is logged. Answered when that is synced: what is acknowledged is there after a power cut.
#include <charconv>
#include <memory>

#include "kernel/admin/admin.h"
#include "kernel/admin/answers.h"
#include "kernel/admin/blob_routes.h"
#include "kernel/blobs/api.h"
#include "kernel/shard/state_machine.h"
#include "kernel/streams/api.h"

namespace heptane::admin {

namespace {

using blobs::BlobDigest;
using blobs::BlobStore;
using blobs::BlobUpload;
using http::HttpExchange;
using http::HttpResponse;

// Its members are the worker's while a job runs, else the I/O thread's.
class BlobPut : public std::enable_shared_from_this<BlobPut> {
 public:
  BlobPut(BlobStore& store, std::optional<BlobDigest> expected) : store_(store), expected_(expected) {}
  ~BlobPut() {
    if (upload_) store_.discard(std::move(upload_));
  }
  BlobPut(const BlobPut&) = delete;
  BlobPut& operator=(const BlobPut&) = delete;

  void begin(HttpExchange& exchange) {
    uint64_t announced = 0;
    const std::string_view length = exchange.request().header("Content-Length");
    std::from_chars(length.data(), length.data() + length.size(), announced);
    exchange.work(
        [self = shared_from_this(), announced] {
          Result<std::unique_ptr<BlobUpload>> begun = self->store_.begin_upload(announced);
          if (begun)
            self->upload_ = std::move(*begun);
          else
            self->failed_ = begun.error();
        },
        [self = shared_from_this()](HttpExchange& begun) { self->go_on(begun, false); });
  }

 private:
  void go_on(HttpExchange& exchange, bool last) {
    if (failed_) return exchange.respond(error_response(*failed_));
    if (last) return submit(exchange);
    exchange.receive([self = shared_from_this()](HttpExchange& answered, std::string piece, bool end) {
      answered.work([self, piece = std::move(piece), end] { self->take(piece, end); },
                    [self, end](HttpExchange& written) { self->go_on(written, end); });
    });
  }

  void take(std::string_view piece, bool last) {
    if (const Result<void> written = upload_->write(as_bytes(piece)); !written) return fail(written.error());
    if (!last) return;
    Result<blobs::StoredBlob> stored = upload_->finish(expected_);
    if (!stored) return fail(stored.error());
    stored_ = std::make_unique<blobs::StoredBlob>(std::move(*stored));
    upload_.reset();
  }
  void fail(Error error) {
    failed_ = std::move(error);
    upload_.reset();
  }

  // The blob is held until the command is in the log.
  void submit(HttpExchange& exchange) {
    exchange.submit(streams::make_command(machine_ids::kBlobs, blobs::kPutBlob, blobs::encode(stored_->blob)),
                    [self = shared_from_this()](HttpExchange& answered, const Reply& reply) {
                      answered.respond(self->answer(reply));
                    });
  }

  HttpResponse answer(const Reply& reply) const {
    if (!reply.ok()) return refusal_response(reply);
    const std::string digest = blobs::digest_text(stored_->blob.digest);
    http::JsonWriter out;
    out.begin_object().key("sha256").text(digest).key("bytes").unsigned_number(stored_->blob.bytes);
    out.key("references").number(reply.numbers[0]).end_object();
    HttpResponse response = HttpResponse::json(201, out.take());
    response.headers.push_back({"Location", "/api/v1/blobs/" + digest});
    response.headers.push_back({"ETag", '"' + digest + '"'});
    return response;
  }

  BlobStore& store_;
  const std::optional<BlobDigest> expected_;
  std::unique_ptr<BlobUpload> upload_;
  std::unique_ptr<blobs::StoredBlob> stored_;
  std::optional<Error> failed_;
};

void put_checked(HttpExchange& exchange, BlobStore& store) {
  if (const std::optional<BlobDigest> digest = digest_parameter(exchange))
    std::make_shared<BlobPut>(store, digest)->begin(exchange);
}

http::RouteDoc doc(std::string_view summary) {
  constexpr std::string_view kStored =
      R"({"type":"object","required":["sha256","bytes","references"],"additionalProperties":false,"properties":{)"
      R"("sha256":{"type":"string","pattern":"^[0-9a-f]{64}$"},"bytes":{"type":"integer","minimum":0},)"
      R"("references":{"type":"integer","minimum":1}}})";
  return {summary,
          "Any bytes, of any length up to blobs.max_bytes, by Content-Length or in chunks. Answered when they are "
          "synced and the log names them. 507 when all blobs together would pass blobs.total_bytes.",
          {},
          {{kBinarySchema, kBinaryType}},
          {{201, "kept, synced and named", {{kStored}}}}};
}

}  // namespace

void add_blob_upload_routes(http::HttpRouter& router, BlobStore& store) {
  // Pages of other sites cannot send PUT without asking first, and nobody answers that question.
  http::RouteOptions options{.any_content_type = true, .streamed_body_bytes = store.options().blob_bytes_max};
  options.doc = doc("Keep a blob under the SHA-256 of its bytes");
  router.add(
      http::Method::put, "/api/v1/blobs",
      [&store](HttpExchange& exchange) { std::make_shared<BlobPut>(store, std::nullopt)->begin(exchange); }, options);
  options.doc = doc("Keep a blob if its bytes have this SHA-256; 400 if they do not");
  router.add(
      http::Method::put, "/api/v1/blobs/{sha256}", [&store](HttpExchange& exchange) { put_checked(exchange, store); },
      options);
}

}  // namespace heptane::admin
