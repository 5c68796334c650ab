// Streams over topic filters for operators: /api/v1/mqtt/streams on the admin listener. To declare one needs the right to
// create the stream and to read its filter: who may not read topics does not read them by way of a stream. To change one that is
// there, to alter it as well.
#pragma once

#include "kernel/net/http/router.h"

namespace heptane::iot {

void add_stream_routes(http::HttpRouter& router);

}  // namespace heptane::iot
