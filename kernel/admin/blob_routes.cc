// GET, list and DELETE blobs. A blob goes out range by range, piece by piece as the client reads; a worker reads the file.
#include "kernel/admin/blob_routes.h"

#include <charconv>
#include <memory>

#include "kernel/admin/admin.h"
#include "kernel/admin/answers.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/admin/stored_records.h"
#include "kernel/blobs/api.h"
#include "kernel/shard/state_machine.h"
#include "kernel/streams/api.h"

namespace heptane::admin {

namespace {

using blobs::BlobDigest;
using blobs::BlobInfo;
using blobs::BlobStore;
using http::HttpExchange;
using http::HttpResponse;
using http::JsonWriter;

constexpr size_t kPieceBytes = size_t{256} << 10;
constexpr int64_t kNsPerMs = 1'000'000;

QueryRequest query_of(blobs::BlobQuery type, Buffer payload) {
  QueryRequest query;
  query.machine = machine_ids::kBlobs;
  query.type = type;
  query.payload = std::move(payload);
  return query;
}

std::string etag_of(const BlobDigest& digest) { return '"' + blobs::digest_text(digest) + '"'; }

// If-None-Match: any at all, or a list that compares weakly (RFC 9110 §13.1.2).
bool names_it(std::string_view list, const std::string& etag) {
  return http::trimmed(list) == "*" || http::list_has(list, etag) || http::list_has(list, "W/" + etag);
}

// Its members are the worker's while a job runs, else the I/O thread's.
class BlobGet : public std::enable_shared_from_this<BlobGet> {
 public:
  BlobGet(BlobStore& store, const BlobDigest& digest) : store_(store), digest_(digest) {}

  void find(HttpExchange& exchange, std::function<bool()> standing) {
    standing_ = std::move(standing);
    exchange.query(query_of(blobs::kFindBlob, blobs::encode(digest_)),
                   [self = shared_from_this()](HttpExchange& answered, const Reply& reply) {
                     if (!reply.ok()) return answered.respond(refusal_response(reply));
                     const auto found = blobs::decode_blob_infos(reply.payload.view());
                     if (!found || found->size() != 1)
                       return answered.respond(error_response({Errc::internal, "the answer does not read", 0}));
                     self->begin(answered, found->front().bytes);
                   });
  }

 private:
  void begin(HttpExchange& exchange, uint64_t bytes) {
    const http::HttpRequest& request = exchange.request();
    const std::string etag = etag_of(digest_);
    if (names_it(request.header("If-None-Match"), etag)) return exchange.respond({304, "", "", {{"ETag", etag}}});
    const std::string_view if_range = request.header("If-Range");
    const bool same = if_range.empty() || if_range == etag;
    range_ = parse_range(same ? request.header("Range") : "", bytes);
    if (range_.kind == ByteRange::Kind::unsatisfiable) {
      HttpResponse response = HttpResponse::error(416, "range", "the blob is " + std::to_string(bytes) + " bytes long");
      response.headers.push_back({"Content-Range", "bytes */" + std::to_string(bytes)});
      return exchange.respond(std::move(response));
    }
    head_ = {200, std::string(kBinaryType), "", {{"ETag", etag}, {"Accept-Ranges", "bytes"}}};
    head_.length = range_.end - range_.begin;
    if (range_.kind == ByteRange::Kind::part) {
      head_.status = 206;
      head_.headers.push_back({"Content-Range", "bytes " + std::to_string(range_.begin) + '-' +
                                                    std::to_string(range_.end - 1) + '/' + std::to_string(bytes)});
    }
    if (request.method == http::Method::head) return exchange.respond(std::move(head_));
    read(exchange);
  }

  void read(HttpExchange& exchange) {
    exchange.work([self = shared_from_this()] { self->read_piece(); },
                  [self = shared_from_this()](HttpExchange& done) { self->send(done); });
  }

  void read_piece() {
    if (!reader_) {
      Result<blobs::BlobReader> opened = store_.read(digest_);
      // The state names it, and its file is not there.
      if (!opened)
        return fail({Errc::corrupt, opened.error().message + ": heptane log verify says which are missing", 0});
      reader_ = std::make_unique<blobs::BlobReader>(std::move(*opened));
    }
    piece_.resize(static_cast<size_t>(std::min<uint64_t>(kPieceBytes, range_.end - range_.begin)));
    const Result<size_t> count =
        reader_->read(range_.begin, {reinterpret_cast<std::byte*>(piece_.data()), piece_.size()});
    if (!count) return fail(count.error());
    if (*count != piece_.size()) return fail({Errc::corrupt, "the blob is shorter than it should be", 0});
    range_.begin += piece_.size();
  }
  void fail(Error error) { failed_ = std::move(error); }

  void send(HttpExchange& exchange) {
    if (revoked(standing_)) fail({Errc::unauthorised, std::string(kRevoked), 0});
    if (failed_ && started_) return exchange.break_off(failed_->message);
    if (failed_) return exchange.respond(error_response(*failed_));
    if (!std::exchange(started_, true)) exchange.start(std::move(head_));
    std::string piece = std::exchange(piece_, {});
    if (range_.begin == range_.end) return exchange.end(std::move(piece));
    exchange.send_piece(std::move(piece), [self = shared_from_this()](HttpExchange& room) { self->read(room); });
  }

  BlobStore& store_;
  const BlobDigest digest_;
  std::function<bool()> standing_;
  ByteRange range_;  // what is still to be sent
  HttpResponse head_;
  std::unique_ptr<blobs::BlobReader> reader_;
  std::string piece_;
  std::optional<Error> failed_;
  bool started_ = false;
};

void write_blob(JsonWriter& out, const BlobInfo& info) {
  out.begin_object().key("sha256").text(blobs::digest_text(info.digest)).key("bytes").unsigned_number(info.bytes);
  out.key("references").unsigned_number(info.references);
  out.key("created_ms").number(info.created / kNsPerMs).end_object();
}

void list_blobs(HttpExchange& exchange) {
  const http::HttpRequest& request = exchange.request();
  if (const auto known = check_parameters(request, {"after", "limit"}); !known)
    return exchange.respond(error_response(known.error()));
  const auto limit = integer_parameter(request, "limit", blobs::kListLimit, 1, blobs::kListLimit);
  if (!limit) return exchange.respond(error_response(limit.error()));
  blobs::ListBlobs list;
  list.limit = static_cast<uint32_t>(*limit);
  if (const auto after = request.query_value("after")) {
    list.after = blobs::parse_digest(*after);
    if (!list.after) return exchange.respond(error_response(invalid("after must be a SHA-256 of 64 digits 0-9 a-f")));
  }
  exchange.query(query_of(blobs::kListBlobs, blobs::encode(list)),
                 [limit = list.limit](HttpExchange& answered, const Reply& reply) {
                   if (!reply.ok()) return answered.respond(refusal_response(reply));
                   const auto infos = blobs::decode_blob_infos(reply.payload.view());
                   if (!infos) return answered.respond(error_response(infos.error()));
                   JsonWriter out;
                   out.begin_object().key("count").number(reply.numbers[0]).key("blobs").begin_array();
                   for (const BlobInfo& info : *infos)
                     if (answered.sees("blobs", blobs::digest_text(info.digest))) write_blob(out, info);
                   out.end_array();
                   // Not the last one shown: what may not be seen was passed over too.
                   if (infos->size() == limit) out.key("next").text(blobs::digest_text(infos->back().digest));
                   out.end_object();
                   answered.respond(HttpResponse::json(200, out.take()));
                 });
}

void delete_blob(HttpExchange& exchange) {
  const std::optional<BlobDigest> digest = digest_parameter(exchange);
  if (!digest) return;
  exchange.submit(streams::make_command(machine_ids::kBlobs, blobs::kDropBlob, blobs::encode(*digest)),
                  [digest = *digest](HttpExchange& answered, const Reply& reply) {
                    if (!reply.ok()) return answered.respond(refusal_response(reply));
                    JsonWriter out;
                    out.begin_object().key("sha256").text(blobs::digest_text(digest));
                    out.key("references").number(reply.numbers[0]);
                    out.key("position").text(position_text(0, reply.sequence)).end_object();
                    answered.respond(HttpResponse::json(200, out.take()));
                  });
}

http::RouteDoc get_doc() {
  return {"The bytes of a blob",
          "Range (one range), If-Range, If-None-Match and HEAD as in RFC 9110; the ETag is the SHA-256 in quotes.",
          {{"Range", "bytes=FIRST-LAST", http::kTextSchema, http::ParameterPlace::header}},
          {},
          {{200, "all of it", {{kBinarySchema, kBinaryType}}},
           {206, "the range", {{kBinarySchema, kBinaryType}}},
           {304, "it is what If-None-Match names", {}}}};
}

http::RouteDoc list_doc() {
  constexpr std::string_view kBlobs =
      R"({"type":"object","required":["count","blobs"],"additionalProperties":false,"properties":{)"
      R"("count":{"type":"integer","minimum":0},"next":{"type":"string"},"blobs":{"type":"array","items":{"type":"object",)"
      R"("required":["sha256","bytes","references","created_ms"],"additionalProperties":false,"properties":{)"
      R"("sha256":{"type":"string"},"bytes":{"type":"integer"},"references":{"type":"integer"},)"
      R"("created_ms":{"type":"integer"}}}}}})";
  return {"Blobs in order of their SHA-256",
          "",
          {{"after", "a SHA-256: begin behind it", http::kTextSchema},
           {"limit", "at most so many", R"({"type":"integer","minimum":1,"maximum":1000,"default":1000})"}},
          {},
          {{200, "count is that of all blobs; next, if there may be more, is for after=", {{kBlobs}}}}};
}

http::RouteDoc delete_doc() {
  constexpr std::string_view kDropped =
      R"({"type":"object","required":["sha256","references","position"],"additionalProperties":false,"properties":{)"
      R"("sha256":{"type":"string"},"references":{"type":"integer","minimum":0},)"
      R"("position":{"$ref":"#/components/schemas/Position"}}})";
  return {"Keep a blob no longer for its own sake",
          "Its file goes when no machine refers to it and no state that can be restored does.",
          {},
          {},
          {{200, "done and synced", {{kDropped}}}}};
}

bool number(std::string_view text, uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::optional<BlobDigest> digest_parameter(HttpExchange& exchange) {
  std::optional<BlobDigest> digest = blobs::parse_digest(exchange.request().param("sha256"));
  if (!digest) exchange.respond(error_response(invalid("a blob's name is its SHA-256: 64 digits 0-9 a-f")));
  return digest;
}

ByteRange parse_range(std::string_view header, uint64_t bytes) {
  constexpr std::string_view kUnit = "bytes=";
  const ByteRange whole{ByteRange::Kind::whole, 0, bytes};
  if (!header.starts_with(kUnit)) return whole;
  header = http::trimmed(header.substr(kUnit.size()));
  const size_t dash = header.find('-');
  if (dash == std::string_view::npos || header.find(',') != std::string_view::npos) return whole;
  const std::string_view first = header.substr(0, dash);
  const std::string_view last = header.substr(dash + 1);
  uint64_t from = 0;
  uint64_t upto = UINT64_MAX;
  if ((!first.empty() && !number(first, from)) || (!last.empty() && !number(last, upto))) return whole;
  if (first.empty() && last.empty()) return whole;
  if (first.empty()) {
    if (upto == 0 || bytes == 0) return {ByteRange::Kind::unsatisfiable, 0, 0};
    return {ByteRange::Kind::part, bytes - std::min(upto, bytes), bytes};
  }
  if (upto < from) return whole;
  if (from >= bytes) return {ByteRange::Kind::unsatisfiable, 0, 0};
  return {ByteRange::Kind::part, from, std::min(upto, bytes - 1) + 1};
}

void send_blob(HttpExchange& exchange, BlobStore& store, const BlobDigest& digest, std::function<bool()> standing) {
  std::make_shared<BlobGet>(store, digest)->find(exchange, std::move(standing));
}

void add_blob_routes(http::HttpRouter& router, BlobStore& store) {
  using http::Method;
  add_blob_upload_routes(router, store);
  router.add(Method::get, "/api/v1/blobs", list_blobs, {.doc = list_doc()});
  router.add(Method::get, "/api/v1/blobs/{sha256}",
             [&store](HttpExchange& exchange) {
               if (const std::optional<BlobDigest> digest = digest_parameter(exchange))
                 send_blob(exchange, store, *digest,
                           exchange.standing("blobs", blobs::digest_text(*digest), auth::Verb::read));
             },
             {.doc = get_doc()});
  router.add(Method::del, "/api/v1/blobs/{sha256}", delete_blob, {.doc = delete_doc()});
}

}  // namespace heptane::admin
