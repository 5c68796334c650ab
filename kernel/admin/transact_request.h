// The body of POST /api/v1/transact as a command, and its reply as JSON. See README.md for the form.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel/admin/operations.h"
#include "kernel/net/http/message.h"
#include "kernel/shard/messages.h"

namespace heptane::admin {

constexpr size_t kIdempotencyKeyLimitBytes = 256;

struct TransactRequest {
  Submission submission;
  int64_t guards = 0;                       // they come first
  std::vector<const OperationSpec*> specs;  // of the operations; nullptr = given by machine and type
  std::vector<const OperationSpec*> guard_specs{};
};

Result<TransactRequest> parse_transact(std::string body, const OperationTable& table);
http::HttpResponse transact_response(const TransactRequest& request, const Reply& reply);

}  // namespace heptane::admin
