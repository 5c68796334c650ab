// /debug/pprof: where the processor's time goes and where memory is, in the forms that google-pprof and `go tool pprof` fetch
// (gperftools, pprof_remote_servers.html). For administrators; one profile at a time.
//
//   GET  /debug/pprof/profile?seconds=30   processor time of all threads, 100 samples a second of it
//   GET  /debug/pprof/heap                 memory of operator new that is in use (heap_samples.h)
//   GET  /debug/pprof/cmdline              the command line, an argument a line
//   GET  /debug/pprof/symbol               how many symbols are known; POST: names of addresses, `0x1+0x2`
#pragma once

#include "kernel/net/http/router.h"

namespace heptane::server {

void add_profile_routes(http::HttpRouter& router);

}  // namespace heptane::server
