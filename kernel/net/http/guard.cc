#include "kernel/net/http/guard.h"

#include <algorithm>

#include "kernel/base/base64.h"
#include "kernel/net/peer.h"

namespace heptane::http {

namespace {

constexpr std::string_view kTokenOffer = "heptane.token.";

HttpResponse unauthenticated(std::string_view why) {
  HttpResponse response = HttpResponse::error(401, "unauthenticated", why);
  response.headers.push_back({"WWW-Authenticate", R"(Bearer realm="heptane", Basic realm="heptane", charset="UTF-8")"});
  return response;
}

// What follows the scheme's name, which is case-insensitive (RFC 9110 §11.1).
std::optional<std::string_view> after_scheme(std::string_view value, std::string_view scheme) {
  if (value.size() <= scheme.size() || !equals_ignoring_case(value.substr(0, scheme.size()), scheme) ||
      value[scheme.size()] != ' ')
    return std::nullopt;
  value.remove_prefix(scheme.size() + 1);
  while (value.starts_with(' ')) value.remove_prefix(1);
  return value;
}

// As clients of InfluxDB say it: a token, or a user and a password with a colon between.
Result<auth::Identity> by_influx_token(auth::Gate& gate, std::string_view value, const auth::Peer& peer) {
  const size_t colon = value.find(':');
  if (colon == std::string_view::npos) return gate.by_token(value, peer);
  return gate.by_password(value.substr(0, colon), value.substr(colon + 1), peer);
}

Result<auth::Identity> by_credentials(auth::Gate& gate, std::string_view value, const auth::Peer& peer) {
  if (!peer.encrypted && !peer.loopback)
    return Error{Errc::unauthorised, "passwords and tokens are taken over TLS or from this machine alone", 0};
  if (const auto token = after_scheme(value, "Bearer")) return gate.by_token(*token, peer);
  if (const auto token = after_scheme(value, "Token")) return by_influx_token(gate, *token, peer);
  const auto basic = after_scheme(value, "Basic");
  const std::optional<std::string> pair = basic ? base64_decoded(*basic) : std::nullopt;
  const size_t colon = pair ? pair->find(':') : std::string::npos;
  if (colon == std::string::npos)
    return Error{Errc::unauthorised, "Authorization is Bearer with a token, or Basic with a user and a password", 0};
  return gate.by_password(std::string_view(*pair).substr(0, colon), std::string_view(*pair).substr(colon + 1), peer);
}

// The token among the subprotocols that a WebSocket's handshake offers; empty: there is none, or this is no handshake.
std::string_view offered_token(const RequestHead& head) {
  bool upgrades = false;
  std::string_view token;
  for (const Header& header : head.headers) {
    upgrades |= equals_ignoring_case(header.name, "Upgrade") && list_has(header.value, "websocket");
    if (!equals_ignoring_case(header.name, "Sec-WebSocket-Protocol")) continue;
    for (std::string_view rest = header.value; !rest.empty();) {
      const size_t comma = std::min(rest.find(','), rest.size());
      const std::string_view offered = trimmed(rest.substr(0, comma));
      if (offered.starts_with(kTokenOffer)) token = offered.substr(kTokenOffer.size());
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return upgrades ? token : std::string_view();
}

// What the request proves itself with, as an Authorization header says it; nullopt: with nothing.
std::optional<std::string> credentials_of(const RequestHead& head) {
  for (const Header& header : head.headers)
    if (equals_ignoring_case(header.name, "Authorization")) return header.value;
  const std::string_view token = offered_token(head);
  return token.empty() ? std::nullopt : std::optional("Bearer " + std::string(token));
}

std::optional<HttpResponse> authenticate(auth::Gate& gate, const RequestHead& head, const auth::Peer& peer,
                                         auth::Identity& identity) {
  if (head.count("Authorization") > 1) return unauthenticated("a request proves who asks once");
  if (const std::optional<std::string> credentials = credentials_of(head)) {
    Result<auth::Identity> proved = by_credentials(gate, *credentials, peer);
    if (proved) {
      identity = std::move(*proved);
      return std::nullopt;
    }
    if (proved.error().code != Errc::overloaded) return unauthenticated(proved.error().message);
    HttpResponse later = HttpResponse::error(429, "overloaded", proved.error().message);
    later.headers.push_back({"Retry-After", "1"});
    return later;
  }
  std::optional<auth::Identity> certified = gate.by_certificate(peer);
  if (!certified)
    return unauthenticated("say who you are: a token (Authorization: Bearer), or a user and a password (Basic)");
  identity = std::move(*certified);
  return std::nullopt;
}

}  // namespace

HttpResponse forbidden(std::string_view who, std::string_view module, std::string_view resource, auth::Verb verb) {
  std::string why(who);
  why += " may not ";
  why += auth::verb_name(verb);
  why += " ";
  why += module;
  why += ':';
  why += resource;
  return HttpResponse::error(403, "unauthorised", why + ": no role of this user says so");
}

std::optional<HttpResponse> guard(auth::Gate* gate, const RequestHead& head, const HttpRequest& request,
                                  const Needs& needs, const net::SessionContext& context, auth::Identity& identity) {
  identity = {};
  if (gate == nullptr || !gate->enabled() || needs.open) return std::nullopt;
  const auth::Peer peer = net::peer_of(context, "http");
  if (auto refusal = authenticate(*gate, head, peer, identity)) return refusal;
  if (needs.in_handler) return std::nullopt;
  std::string_view resource = needs.resource;
  if (resource.starts_with('{')) resource = request.param(resource.substr(1, resource.size() - 2));
  if (gate->allows(identity, peer.remote, needs.module, resource, needs.verb)) return std::nullopt;
  return forbidden(identity.name, needs.module, resource, needs.verb);
}

}  // namespace heptane::http
