#include "kernel/net/http/router.h"

#include <algorithm>

#include "kernel/base/assert.h"
#include "kernel/net/http/url.h"

namespace heptane::http {

namespace {

bool is_param(std::string_view segment) { return segment.starts_with('{') && segment.ends_with('}'); }

std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> segments;
  for (path.remove_prefix(1);;) {
    const size_t slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

bool fits(const Route& route, const std::vector<std::string>& segments) {
  if (route.segments.size() != segments.size()) return false;
  for (size_t i = 0; i < segments.size(); ++i) {
    const bool matches = is_param(route.segments[i]) ? !segments[i].empty() : route.segments[i] == segments[i];
    if (!matches) return false;
  }
  return true;
}

// Literal segments before parameters, from the left.
bool more_exact(const Route& a, const Route& b) {
  for (size_t i = 0; i < std::min(a.segments.size(), b.segments.size()); ++i)
    if (is_param(a.segments[i]) != is_param(b.segments[i])) return is_param(b.segments[i]);
  return false;
}

void allow(std::string& list, std::string_view method) {
  if (!list.empty()) list += ", ";
  list += method;
}

}  // namespace

void HttpRouter::add(Method method, std::string_view pattern, Handler handler, RouteOptions options) {
  HEPTANE_ASSERT(pattern.starts_with('/') && handler, "a route has a path and a handler");
  Route route{method, {}, std::move(handler), std::move(options)};
  for (const std::string_view segment : split(pattern)) route.segments.emplace_back(segment);
  const auto place = std::find_if(routes_.begin(), routes_.end(), [&](const Route& r) { return more_exact(route, r); });
  for (const Route& other : routes_)
    HEPTANE_ASSERT(other.method != method || other.segments != route.segments, "a route is there already");
  routes_.insert(place, std::move(route));
}

void HttpRouter::require(Method method, std::string_view pattern, Needs needs) {
  std::vector<std::string> segments;
  for (const std::string_view segment : split(pattern)) segments.emplace_back(segment);
  const auto route = std::find_if(routes_.begin(), routes_.end(), [&](const Route& other) {
    return other.method == method && other.segments == segments;
  });
  if (route != routes_.end()) route->options.needs = std::move(needs);
}

HttpRouter::Match HttpRouter::find(Method method, std::string_view path) const {
  Match match;
  std::vector<std::string> segments;
  for (const std::string_view segment : split(path)) {
    auto decoded = percent_decoded(segment, false);
    if (!decoded) {
      match.malformed = true;
      return match;
    }
    segments.push_back(std::move(*decoded));
  }
  const Method wanted = method == Method::head ? Method::get : method;
  for (const Route& route : routes_) {
    if (!fits(route, segments)) continue;
    if (route.method != wanted) {
      allow(match.allow, method_name(route.method));
      if (route.method == Method::get) allow(match.allow, "HEAD");
      continue;
    }
    match.route = &route;
    for (size_t i = 0; i < segments.size(); ++i)
      if (const std::string& name = route.segments[i]; is_param(name))
        match.params.emplace_back(name.substr(1, name.size() - 2), std::move(segments[i]));
    return match;
  }
  return match;
}

}  // namespace heptane::http
