#include "console/routes.h"

#include "kernel/base/assert.h"
#include "kernel/net/http/content_coding.h"
#include "kernel/net/http/exchange.h"

namespace heptane::console {

namespace {

using http::HttpExchange;
using http::HttpResponse;

// Nothing but the server's own files and API: no inline script or style, no other host, no frame around it.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";
constexpr std::string_view kForever = "public, max-age=31536000, immutable";

HttpResponse response_of(const Asset& asset) {
  HttpResponse response{200, std::string(asset.content_type), std::string(as_text(asset.gzip)), {}};
  response.headers = {{"Content-Encoding", "gzip"},
                      {"Vary", "Accept-Encoding"},
                      {"X-Content-Type-Options", "nosniff"},
                      {"Referrer-Policy", "no-referrer"}};
  const bool page = asset.path == "/";
  response.headers.push_back({"Cache-Control", std::string(page ? "no-store" : kForever)});
  if (page) response.headers.push_back({"Content-Security-Policy", std::string(kPolicy)});
  return response;
}

void answer(HttpExchange& exchange, const Asset& asset) {
  HttpResponse response = response_of(asset);
  if (!http::accepts_gzip(exchange.request().header("Accept-Encoding"))) {
    Result<std::string> plain = http::decoded_body("gzip", std::move(response.body), asset.bytes);
    HEPTANE_ASSERT(plain, "the build's own gzip can be read");
    response.body = std::move(*plain);
    response.headers.erase(response.headers.begin());
  }
  exchange.respond(std::move(response));
}

http::RouteDoc doc(std::string_view summary, std::string_view content_type) {
  return {
      summary, "For browsers: no part of the API.", {}, {}, {{200, "the file", {{http::kTextSchema, content_type}}}}};
}

void answer_path(HttpExchange& exchange, std::span<const Asset> files) {
  for (const Asset& asset : files)
    if (asset.path == exchange.request().path) return answer(exchange, asset);
  exchange.respond(HttpResponse::error(404, "not_found", "the console has no such file"));
}

}  // namespace

// Open to everybody: they are the same for all and hold nothing of the server's.
void add_files(http::HttpRouter& router, std::span<const Asset> files) {
  const http::Needs open{"", "", auth::Verb::read, true, false};
  const auto handler = [files](HttpExchange& exchange) { answer_path(exchange, files); };
  router.add(http::Method::get, "/", handler, {.needs = open, .doc = doc("The console", "text/html")});
  router.add(http::Method::get, "/assets/{name}", handler,
             {.needs = open, .doc = doc("A file of the console", "text/javascript")});
}

}  // namespace heptane::console
