#include "modules/iot/gateway/http/image_route.h"

#include "kernel/admin/answers.h"
#include "kernel/admin/blob_routes.h"
#include "kernel/admin/request_parameters.h"
#include "kernel/crypto/digest.h"
#include "modules/iot/domain/devices/image_link.h"

namespace heptane::iot::devices {

namespace {

using http::HttpExchange;

constexpr int64_t kNsPerSecond = 1'000'000'000;

// One answer for all that is wrong: it says nothing of which blobs there are.
void respond_bad(HttpExchange& exchange) {
  exchange.respond(admin::error_response({Errc::unauthorised, "this link is not good, or not any more", 0}));
}

void get(HttpExchange& exchange, const GetImages& images, const GetBlobs& blobs) {
  const ImageSettings* settings = images();
  blobs::BlobStore* store = blobs();
  const auto digest = blobs::parse_digest(exchange.request().param("sha256"));
  const auto expires = link_expiry(exchange.request().query_value("expires").value_or(""));
  const std::string_view signature = exchange.request().query_value("signature").value_or("");
  if (settings == nullptr || store == nullptr || settings->link_key.empty() || !digest || !expires)
    return respond_bad(exchange);
  const std::string right = sign_link(*settings, blobs::digest_text(*digest), *expires);
  const bool good = signature.size() == right.size() && crypto::equal_in_constant_time(signature, right);
  if (!good || exchange.context().utc_ns() / kNsPerSecond >= *expires) return respond_bad(exchange);
  admin::send_blob(exchange, *store, *digest, nullptr);
}

http::RouteDoc get_doc() {
  return {"An image of a job, by its link",
          "For devices: the link is in the job's document, and nothing else is asked for. Range (one range), If-Range, "
          "If-None-Match and HEAD as in RFC 9110. A download that has begun goes on when the link is over.",
          {{"expires", "as in the link: seconds since 1970"},
           {"signature", "as in the link"},
           {"Range", "bytes=FIRST-LAST", http::kTextSchema, http::ParameterPlace::header}},
          {},
          {{200, "all of it", {{admin::kBinarySchema, admin::kBinaryType}}},
           {206, "the range", {{admin::kBinarySchema, admin::kBinaryType}}},
           {304, "it is what If-None-Match names", {}},
           {403, "the link is not good, or not any more", {{R"({"$ref":"#/components/schemas/Error"})"}}}}};
}

}  // namespace

std::string sign_link(const ImageSettings& settings, std::string_view digest, int64_t expires_s) {
  return crypto::hex(crypto::hmac(crypto::Hash::sha256, settings.link_key, image_link_text(digest, expires_s)));
}

void add_image_route(http::HttpRouter& router, GetImages images, GetBlobs blobs) {
  router.add(
      http::Method::get, std::string(kImagePath) + "{sha256}",
      [images = std::move(images), blobs = std::move(blobs)](HttpExchange& exchange) { get(exchange, images, blobs); },
      {.needs = {"", "", auth::Verb::read, true, false}, .doc = get_doc()});
}

}  // namespace heptane::iot::devices
