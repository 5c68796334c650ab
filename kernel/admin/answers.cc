#include "kernel/admin/answers.h"

#include "kernel/net/http/json_writer.h"

namespace heptane::admin {

namespace {

http::HttpResponse with_retry(http::HttpResponse response) {
  if (response.status == 503) response.headers.push_back({"Retry-After", "1"});
  return response;
}

}  // namespace

int status_of(Errc code) {
  switch (code) {
    case Errc::invalid_argument: return 400;
    case Errc::unauthorised: return 403;
    case Errc::not_found: return 404;
    case Errc::exists:
    case Errc::refused:
    case Errc::stale: return 409;
    case Errc::too_large: return 413;
    case Errc::unsupported: return 501;
    case Errc::overloaded:
    case Errc::closed: return 503;
    case Errc::deadline: return 504;
    case Errc::no_space: return 507;
    case Errc::corrupt:
    case Errc::io:
    case Errc::internal: return 500;
  }
  return 500;
}

http::HttpResponse refusal_response(const Reply& reply, std::string_view place, int64_t index) {
  const Errc code = reply.error.value_or(Errc::internal);
  http::JsonWriter out;
  out.begin_object().key("error").begin_object();
  out.key("code").text(errc_name(code)).key("message").text(reply.message);
  if (!place.empty()) out.key(place).number(index);
  if (reply.detail != 0) out.key("detail").number(reply.detail);
  out.end_object().end_object();
  return with_retry(http::HttpResponse::json(status_of(code), out.take()));
}

http::HttpResponse error_response(const Error& error) {
  return with_retry(http::HttpResponse::error(status_of(error.code), errc_name(error.code), error.message));
}

}  // namespace heptane::admin
