// Images of jobs: which URLs a job may have, links to stored blobs, and GET /api/v1/device-images/{sha256}, where whoever has a link
// that is good fetches the blob, by ranges if he likes, and nobody is asked who he is. The I/O thread's.
#pragma once

#include <functional>
#include <string>

#include "kernel/blobs/blob_store.h"
#include "kernel/net/http/router.h"
#include "modules/iot/gateway/rules/http_target.h"

namespace heptane::iot::devices {

// As the configuration has it.
struct ImageSettings {
  rules::AllowList allowed{};  // hosts of URLs, where there are some
  bool any_host = true;
  std::string link_key{};   // empty: there are no links
  std::string link_base{};  // stands before a link's path
};

std::string sign_link(const ImageSettings& settings, std::string_view digest, int64_t expires_s);

// Null: the server has not started. Called on the I/O thread, for as long as the router is used.
using GetImages = std::function<const ImageSettings*()>;
using GetBlobs = std::function<blobs::BlobStore*()>;
void add_image_route(http::HttpRouter& router, GetImages images, GetBlobs blobs);

}  // namespace heptane::iot::devices
