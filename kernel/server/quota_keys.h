// Limits of single users as the configuration writes them: "alice bytes_in=1MiB requests=100". Any thread.
#pragma once

#include <string>
#include <vector>

#include "kernel/net/quota.h"

namespace heptane::server {

// What is wrong with one; empty: nothing.
std::string wrong_user_quota(const std::string& text);
// By user; texts that are wrong are left out.
std::map<std::string, net::QuotaLimits, std::less<>> user_quotas(const std::vector<std::string>& texts);

}  // namespace heptane::server
