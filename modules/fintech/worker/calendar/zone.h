// Zones of the system's time zone database (Debian's tzdata), read by Abseil. A zone is read once: what an update of the database says
// of it holds from the next start on. Any thread; the first use of a zone reads a file.
#pragma once

#include "modules/fintech/domain/exchange/expansion.h"

namespace heptane::fintech {

Result<exchange::Expansion> expand_in_zone(const exchange::CalendarSpec& spec, LogTime from, bool behind);

Result<std::shared_ptr<const exchange::LocalTime>> find_zone(const std::string& name);

}  // namespace heptane::fintech
