// The one router: method and path pattern to handler. Patterns are fixed when the server starts; a segment `{name}`
// matches any one non-empty segment and is a parameter. A route without a parameter in a place goes before one with it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/auth/directory.h"
#include "kernel/net/http/message.h"
#include "kernel/net/http/route_doc.h"

namespace heptane::http {

class HttpExchange;
using Handler = std::function<void(HttpExchange&)>;

// What the one who asks must be allowed, while authentication is on. What a route does not say is for administrators.
struct Needs {
  std::string module = "admin";
  std::string resource = "*";  // `{name}`: the path's parameter
  auth::Verb verb = auth::Verb::admin;
  bool open = false;        // nobody is asked who he is
  bool in_handler = false;  // whoever proved who he is gets as far as the handler, which asks HttpExchange::allowed
};

struct RouteOptions {
  // POST, PUT, PATCH and DELETE need Content-Type application/json or application/x-ndjson, which a page of another site
  // cannot send unasked. A route for protocols with other types says so, and must have another proof of who asks.
  bool any_content_type = false;
  // The body, up to so many bytes, is not collected: the handler runs when the head is there and asks for its pieces
  // (HttpExchange::receive). As it comes: a Content-Encoding is refused.
  std::optional<uint64_t> streamed_body_bytes{};
  Needs needs{};
  RouteDoc doc = {};
};

struct Route {
  Method method = Method::get;
  std::string pattern;
  std::vector<std::string> segments;
  Handler handler;
  RouteOptions options;
};

class HttpRouter {
 public:
  void add(Method method, std::string_view pattern, Handler handler, RouteOptions options = {});

  // Sets what a route needs, if it is there: several in one place read as the table that they are.
  void require(Method method, std::string_view pattern, Needs needs);
  // Sets what a route says of itself, if it is there: several in one place read as the table that they are.
  void describe(Method method, std::string_view pattern, RouteDoc doc);

  struct Match {
    const Route* route = nullptr;
    std::vector<std::pair<std::string, std::string>> params;
    std::string allow;       // of a path that exists with other methods: `GET, HEAD, OPTIONS`
    bool malformed = false;  // bad percent-encoding
  };
  // HEAD finds GET. OPTIONS finds nothing, and `allow` where the path exists.
  Match find(Method method, std::string_view path) const;

  const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route> routes_;
};

}  // namespace heptane::http
