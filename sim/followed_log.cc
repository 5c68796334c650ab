#include "sim/followed_log.h"

namespace heptane::sim {

namespace {

constexpr Sequence kBehindMost = 60;  // commands; a snapshot and what it lets go of are further apart

}  // namespace

void FollowedLog::follow(server::Server& server) {
  if (gone_ || !server.recovered()) return;
  const Sequence durable = server.committer().watermark();
  if (durable >= read_ + kBehindMost) (void)read(server, durable);  // what a fault hides is read behind the next start
}

Result<void> FollowedLog::read(server::Server& server, Sequence upto) {
  const Result<void> done =
      server.log().read(read_ + 1, upto, [&](const log::BatchView& batch, const log::BatchPlace&) -> Result<void> {
        HEPTANE_TRY(batch.for_each_entry([&](const log::EntryView& entry, Sequence sequence) -> Result<void> {
          if (!entry.header.is_command() || sequence <= read_) return {};
          FollowedCommand command{sequence, entry.header.machine, entry.header.type,
                                  batch.header().base_time + entry.header.detail};
          const auto views = log::views_of(entry.extensions);
          if (!views) return views.error();
          if (*views) command.runs = (*views)->runs;
          if (entry.header.machine == machine_) command.payload.assign(entry.payload.begin(), entry.payload.end());
          if (entry.header.machine == machine_ || !command.runs.empty()) commands_.push_back(std::move(command));
          return {};
        }));
        read_ = batch.header().last_sequence();
        return {};
      });
  // Of a batch that could not be read whole nothing is kept.
  while (!commands_.empty() && commands_.back().sequence > read_) commands_.pop_back();
  if (!done && done.error().code == Errc::not_found) {
    gone_ = true;
    return {};
  }
  return done;
}

}  // namespace heptane::sim
