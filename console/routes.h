// The console on a listener: the page and its files. What the page shows it asks of the API as any other client does, with the
// rights of whoever looks at it. The I/O thread's.
#pragma once

#include "console/asset.h"
#include "kernel/net/http/router.h"

namespace heptane::console {

// `files` outlive the router: assets(), in the program.
void add_files(http::HttpRouter& router, std::span<const Asset> files);

}  // namespace heptane::console
