#include "modules/fintech/worker/calendar/zone.h"

#include <absl/time/time.h>

namespace heptane::fintech {

namespace {

class Zone final : public exchange::LocalTime {
 public:
  explicit Zone(absl::TimeZone zone) : zone_(zone) {}

  int64_t utc_s(int32_t date, int32_t second_of_day) const override {
    const absl::CivilSecond local = absl::CivilSecond(absl::CivilDay() + date) + second_of_day;
    const absl::TimeZone::TimeInfo at = zone_.At(local);
    // `pre` of one that there is twice is the first; of one that does not exist it is behind the jump.
    return absl::ToUnixSeconds(at.kind == absl::TimeZone::TimeInfo::SKIPPED ? at.trans : at.pre);
  }

 private:
  absl::TimeZone zone_;
};

Result<absl::TimeZone> zone_named(const std::string& name) {
  absl::TimeZone zone;
  if (absl::LoadTimeZone(name, &zone)) return zone;
  return Error{Errc::invalid_argument,
               "the time zone database has no " + name + ": a name such as Europe/Berlin, and tzdata installed"};
}

}  // namespace

Result<exchange::Expansion> expand_in_zone(const exchange::CalendarSpec& spec, LogTime from, bool behind) {
  HEPTANE_TRY(exchange::check_calendar(spec));
  const Result<absl::TimeZone> zone = zone_named(spec.zone);
  if (!zone) return zone.error();
  return exchange::expand(spec, Zone(*zone), from, behind);
}

Result<std::shared_ptr<const exchange::LocalTime>> find_zone(const std::string& name) {
  const Result<absl::TimeZone> zone = zone_named(name);
  if (!zone) return zone.error();
  return std::shared_ptr<const exchange::LocalTime>(std::make_shared<Zone>(*zone));
}

}  // namespace heptane::fintech
