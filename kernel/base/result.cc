#include "kernel/base/result.h"

namespace heptane {

const char* errc_name(Errc code) noexcept {
  switch (code) {
    case Errc::invalid_argument: return "invalid_argument";
    case Errc::corrupt: return "corrupt";
    case Errc::io: return "io";
    case Errc::no_space: return "no_space";
    case Errc::not_found: return "not_found";
    case Errc::exists: return "exists";
    case Errc::refused: return "refused";
    case Errc::overloaded: return "overloaded";
    case Errc::unsupported: return "unsupported";
    case Errc::too_large: return "too_large";
    case Errc::unauthorised: return "unauthorised";
    case Errc::stale: return "stale";
    case Errc::deadline: return "deadline";
    case Errc::closed: return "closed";
    case Errc::internal: return "internal";
  }
  return "unknown";
}

}  // namespace heptane
