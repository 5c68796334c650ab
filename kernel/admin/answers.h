// The shard's refusals in HTTP's words: one table for every endpoint.
#pragma once

#include <string_view>

#include "kernel/base/result.h"
#include "kernel/net/http/message.h"
#include "kernel/shard/messages.h"

namespace heptane::admin {

int status_of(Errc code);
// The error of a refused command or query. `place` and `index`, when named, tell which part refused.
http::HttpResponse refusal_response(const Reply& reply, std::string_view place = {}, int64_t index = 0);
http::HttpResponse error_response(const Error& error);

}  // namespace heptane::admin
