#include "sim/mqtt_log.h"

#include <algorithm>

#include "kernel/log/views.h"
#include "kernel/server/records_reader.h"
#include "kernel/streams/record_batch.h"
#include "modules/iot/machine/events.h"
#include "modules/iot/machine/publish_records.h"
#include "modules/iot/machine/record_notes.h"
#include "modules/iot/machine/session_api.h"
#include "modules/iot/machine/stream_api.h"
#include "sim/mqtt_losses.h"

namespace heptane::sim {

namespace {

using namespace iot;

constexpr Sequence kBehindMost = 60;   // commands; a snapshot and what it lets go of are further apart
constexpr uint16_t kViewsLooked = 64;  // of declared streams: more than there are
constexpr LogTime kNsPerSecond = 1'000'000'000;

std::optional<std::vector<std::byte>> note_of(const log::EntryView& entry) {
  for (const Bytes note : log::results_of(entry.extensions, kBrokerMachineId))
    if (!is_note_of_events(note)) return std::vector<std::byte>(note.begin(), note.end());
  return std::nullopt;
}

// Of any stream: which ones it must be of is not the note's to say.
bool became_one(const PublishNote& note, size_t message) {
  if (note.has(message, kMessagesView.number)) return true;
  for (uint16_t view = kFirstDeclaredView; view < kFirstDeclaredView + kViewsLooked; ++view)
    if (note.has(message, view)) return true;
  return false;
}

std::string will_text(MessageName name) {
  return "the will of connection " + std::to_string(name.number) + " of client " + std::to_string(name.from);
}

uint32_t next_named(uint32_t publisher, bool appended, uint32_t above) {
  do ++above;
  while (message_of({publisher, above}, appended).payload.empty());
  return above;
}

}  // namespace

const BrokerMachine* find_broker(const server::Modules& modules) {
  for (const auto& module : modules)
    for (StateMachine* machine : module->machines())
      if (machine->id() == kBrokerMachineId) return static_cast<const BrokerMachine*>(machine);
  return nullptr;
}

// Reading.

void MqttLog::follow(server::Server& server, const BrokerMachine& broker, Checker& checker) {
  if (!server.recovered()) return;
  note_queues(broker);
  if (blind_) return;
  note_sessions(broker);
  const Sequence durable = server.committer().watermark();
  if (durable >= read_ + kBehindMost) catch_up(server, durable, checker, true);
}

// Whose connection an epoch of a session is. A connection is closed after it was answered, which is after this has seen it.
void MqttLog::note_sessions(const BrokerMachine& broker) {
  for (const auto& [number, session] : broker.sessions().all())
    if (const auto name = session.will ? name_of(session.will->payload) : std::nullopt)
      sessions_[{number, session.epoch}] = *name;
}

// What small queues still have for their clients.
void MqttLog::note_queues(const BrokerMachine& broker) {
  for (MqttWatch::Crammed& client : watch_.crammed) {
    const KeptSession* session = broker.sessions().find(client.name);
    client.waits = session != nullptr && session->queue.waiting() > 0;
  }
}

Result<void> MqttLog::read(server::Server& server, Sequence upto) {
  const Result<void> done =
      server.log().read(read_ + 1, upto, [&](const log::BatchView& batch, const log::BatchPlace&) -> Result<void> {
        LogTime newest = last_time_;
        HEPTANE_TRY(batch.for_each_entry([&](const log::EntryView& entry, Sequence sequence) -> Result<void> {
          if (!entry.header.is_command() || sequence <= read_) return {};
          const LogTime time = batch.header().base_time + entry.header.detail;
          if (time < newest) went_back_ = true;
          newest = time;
          if (entry.header.machine != kBrokerMachineId) return {};
          log_.push_back(
              {sequence, time, entry.header.type, {entry.payload.begin(), entry.payload.end()}, note_of(entry)});
          return {};
        }));
        read_ = batch.header().last_sequence();
        last_time_ = newest;
        return {};
      });
  // Of a batch that could not be read whole nothing is kept.
  while (!log_.empty() && log_.back().sequence > read_) log_.pop_back();
  if (!done && done.error().code == Errc::not_found) {
    blind_ = true;
    ++watch_.gaps;
    return {};
  }
  return done;
}

// False: nothing is known any more. What a fault hides is read behind the next start.
bool MqttLog::catch_up(server::Server& server, Sequence upto, Checker& checker, bool damaged) {
  const Result<void> done = read(server, upto);
  if (!done && !damaged) checker.fail("the broker's commands cannot be read: " + done.error().message);
  if (blind_) return false;
  if (went_back_) checker.fail("log time went back");
  for (const Logged& command : log_) {
    if (checker.failed()) return false;
    run(command, checker);
  }
  log_.clear();
  return !checker.failed();
}

void MqttLog::audit(server::Server& server, const BrokerMachine& broker, Disk& disk, Checker& checker, bool damaged) {
  const Sequence last = server.shard().last_applied();
  if (read_ > last && !checker.lost_tail_allowed())
    checker.fail("the log was synced up to sequence " + std::to_string(read_) + " and ends at " + std::to_string(last));
  if (checker.lost_tail_allowed()) blind_ = true;
  if (blind_ || checker.failed()) return;
  if (!catch_up(server, last, checker, damaged)) return;
  if (read_ < last) {
    blind_ = true;  // damaged
    return;
  }
  note_sessions(broker);
  compare_acknowledged(checker);
  compare_retained(broker, checker);
  compare_present(checker);
  compare_streams(server, disk, checker, damaged);
}

bool MqttLog::learn(server::Server& server, Disk& disk, Checker& checker) {
  if (!blind_) catch_up(server, server.committer().watermark(), checker, false);
  if (checker.failed()) return false;
  if (!blind_) {
    if (!awaited().empty()) return false;
    compare_acknowledged(checker);
    compare_present(checker);
    compare_losses(server, disk, checker);
    watch_.wills = wills_;
    watch_.retained = retained_;
  }
  watch_.log_is_lost = blind_;
  watch_.log_is_known = true;
  return true;
}

std::string MqttLog::awaited() const {
  std::string text;
  for (const auto& [client, death] : watch_.deaths)
    if (!wills_.contains({client, death.connection})) text += "; " + will_text({client, death.connection});
  return text;
}

// The commands.

void MqttLog::run(const Logged& command, Checker& checker) {
  switch (command.type) {
    case kPublish:
    case kPublishRecords: return run_publish(command, checker);
    case kOpenSession: return run_open(command, checker);
    case kCloseSession: return run_close(command, checker);
    case kPublishWill: return run_will_due(command, checker);
    case kBoot: return run_boot(command);
    case kEndConnections: return end_connections();
    case kDeclareStream: return declare(command);
    case kDropStream: streams_.erase(std::string(as_text(command.payload))); return;
    default: return;
  }
}

void MqttLog::declare(const Logged& command) {
  const auto declared = decode_declare(command.payload);
  if (!declared) return;
  Stream& stream = streams_[declared->stream.name];
  stream.filter = declared->stream.filter;
  stream.partitions.resize(declared->stream.partitions);
}

void MqttLog::run_publish(const Logged& command, Checker& checker) {
  const bool appended = command.type == kPublishRecords;
  const auto records = appended ? decode_publish_records(command.payload) : std::nullopt;
  const auto messages = appended ? std::nullopt : decode_publishes(command.payload);
  if (!records && !messages) return checker.fail("the log holds a publish that the broker must have refused");
  if (!command.note) return;
  const PublishNote note(*command.note);
  const std::vector<MessageView>& all = records ? records->messages : *messages;
  for (size_t i = 0; i < all.size(); ++i)
    if (became_one(note, i)) take(all[i].topic, all[i].payload, all[i].qos, all[i].retain, checker);
}

void MqttLog::take(std::string_view topic, std::string_view payload, uint8_t qos, bool retain, Checker& checker) {
  messages_.push_back({std::string(topic), std::string(payload)});
  place(topic);
  if (retain && payload.empty()) retained_.erase(std::string(topic));
  if (retain && !payload.empty()) retained_[std::string(topic)] = payload;
  const auto name = name_of(payload);
  if (!name) return;
  if (!topic.starts_with("will/")) return take_name(*name, qos, checker);
  ++watch_.wills_total;
  if (!wills_.insert(*name).second) checker.fail(will_text(*name) + " is in the log twice");
}

// The newest message becomes a record.
void MqttLog::place(std::string_view topic) {
  bool declared = false;
  for (auto& [name, stream] : streams_) {
    if (!filter_matches(stream.filter, topic)) continue;
    declared = true;
    const auto count = static_cast<uint32_t>(stream.partitions.size());
    stream.partitions[partition_of(topic, count)].push_back(messages_.size() - 1);
  }
  if (!declared) in_messages_.push_back(messages_.size() - 1);
}

void MqttLog::take_name(MessageName name, uint8_t qos, Checker& checker) {
  if (name.from >= watch_.publishers.size()) return checker.fail("the log holds a message of nobody");
  newest_.resize(watch_.publishers.size());
  uint32_t& newest = newest_[name.from];
  const bool appended = watch_.publishers[name.from].appended;
  const std::string text = "number " + std::to_string(name.number) + " of publisher " + std::to_string(name.from);
  if (name.number == next_named(name.from, appended, newest))
    newest = name.number;
  else if (name.number > newest)
    checker.fail(text + " is in the log behind " + std::to_string(newest));
  else if (qos == 2 || appended)
    checker.fail(text + " is in the log twice");
}

// Wills.

MqttLog::Mortal* MqttLog::mortal_of(uint64_t number, uint64_t epoch) {
  const auto known = sessions_.find({number, epoch});
  if (known == sessions_.end()) return nullptr;
  const auto found = mortals_.find(known->second.from);
  return found != mortals_.end() && found->second.connection == known->second.number ? &found->second : nullptr;
}

LogTime MqttLog::ended(const Mortal& mortal) const { return mortal.connected ? booted_ : mortal.ended; }

LogTime MqttLog::due(const Mortal& mortal) const {
  const uint32_t delay_s = std::min(mortal.delay_s, mortal.expiry_s);
  const bool by_boot = mortal.connected || mortal.ended_by_boot;
  return ended(mortal) + static_cast<LogTime>(by_boot ? std::max(grace_s_, delay_s) : delay_s) * kNsPerSecond;
}

// The will that the command published.
std::optional<MessageName> MqttLog::take_will(const Logged& command, Checker& checker) {
  const auto will = command.note ? read_note_of_will(*command.note) : std::nullopt;
  if (!will) return std::nullopt;
  const MessageView& message = will->message;
  take(message.topic, message.payload, message.qos, message.retain, checker);
  return name_of(message.payload);
}

void MqttLog::run_open(const Logged& command, Checker& checker) {
  const std::optional<MessageName> published = take_will(command, checker);
  const auto open = decode_open_session(command.payload);
  const auto name = open && open->will ? name_of(open->will->message.payload) : std::nullopt;
  if (!name) return;
  Mortal& mortal = mortals_[name->from];
  const bool here = mortal.connected && mortal.run == run_;
  const bool over = ended(mortal) + static_cast<LogTime>(mortal.expiry_s) * kNsPerSecond <= command.time;
  const bool made = !mortal.there || open->clean || (!here && over);
  // The server's end was not the client's.
  const bool with_server = mortal.connected || mortal.ended_by_boot;
  const bool is_due = due(mortal) <= command.time;
  const bool must = mortal.there && mortal.will && !here && (made ? !with_server || is_due : !with_server && is_due);
  const MessageName before{name->from, mortal.connection};
  if (published && !must) checker.fail(will_text(before) + " was published, and its client is back");
  if (!published && must) checker.fail(will_text(before) + " is lost when its client comes back");
  mortal = {};
  mortal.there = mortal.connected = mortal.will = true;
  mortal.run = run_;
  mortal.connection = name->number;
  mortal.expiry_s = open->expiry_s;
  mortal.delay_s = open->will->delay_s;
  present_[*name] = !made;
}

void MqttLog::run_close(const Logged& command, Checker& checker) {
  const std::optional<MessageName> published = take_will(command, checker);
  const auto close = decode_close_session(command.payload);
  Mortal* mortal = close ? mortal_of(close->session, close->epoch) : nullptr;
  const bool ends = mortal != nullptr && mortal->connected && mortal->run == run_;
  const bool must = ends && close->with_will && mortal->will && std::min(mortal->delay_s, mortal->expiry_s) == 0;
  if (published && !must) checker.fail(will_text(*published) + " was published too early, or was not to be");
  if (!published && must)
    checker.fail(will_text({sessions_.at({close->session, close->epoch}).from, mortal->connection}) + " is lost");
  if (!ends) return;
  mortal->connected = false;
  mortal->ended = command.time;
  mortal->will = mortal->will && close->with_will && !must;
  mortal->expiry_s = close->expiry_s.value_or(mortal->expiry_s);
}

void MqttLog::run_will_due(const Logged& command, Checker& checker) {
  const std::optional<MessageName> published = take_will(command, checker);
  ByteReader in(command.payload);
  const auto number = in.le<uint64_t>();
  const auto epoch = in.le<uint64_t>();
  Mortal* mortal = mortal_of(number, epoch);
  const bool here = mortal != nullptr && mortal->connected && mortal->run == run_;
  const bool must = mortal != nullptr && mortal->will && !here && due(*mortal) <= command.time;
  if (published && !must) checker.fail(will_text(*published) + " was published before its time");
  if (!published && must) checker.fail("a will was not published when its time had come");
  if (must) mortal->will = false;
}

void MqttLog::run_boot(const Logged& command) {
  ++run_;
  booted_ = command.time;
  grace_s_ = ByteReader(command.payload).le<uint32_t>();
}

// One command is enough for as few as there are.
void MqttLog::end_connections() {
  for (auto& [client, mortal] : mortals_) {
    if (!mortal.connected || mortal.run == run_) continue;
    mortal.ended = booted_;
    mortal.ended_by_boot = true;
    mortal.connected = false;
  }
}

// What is compared.

void MqttLog::compare_acknowledged(Checker& checker) const {
  for (uint32_t i = 0; i < watch_.publishers.size(); ++i) {
    const MqttWatch::Publisher& publisher = watch_.publishers[i];
    const uint32_t next = next_named(i, publisher.appended, i < newest_.size() ? newest_[i] : 0);
    if (next <= publisher.acknowledged)
      checker.fail("number " + std::to_string(next) + " of publisher " + std::to_string(i) +
                   " was acknowledged and is not in the log");
  }
}

void MqttLog::compare_retained(const BrokerMachine& broker, Checker& checker) const {
  if (broker.retained().size() != retained_.size())
    checker.fail(std::to_string(broker.retained().size()) + " messages are retained instead of " +
                 std::to_string(retained_.size()));
  for (const auto& [topic, payload] : retained_) {
    const RetainedMessage* there = broker.retained().find(topic);
    if (there == nullptr || there->payload() != payload) checker.fail("another message is retained at " + topic);
  }
}

void MqttLog::compare_present(Checker& checker) {
  for (auto at = watch_.present.begin(); at != watch_.present.end();) {
    const auto known = present_.find(at->first);
    if (known != present_.end() && known->second != at->second)
      checker.fail("client " + std::to_string(at->first.from) + " was told at connection " +
                   std::to_string(at->first.number) + " that there was " + (at->second ? "a" : "no") + " session");
    at = watch_.present.erase(at);
  }
}

void MqttLog::compare_losses(server::Server& server, Disk& disk, Checker& checker) {
  if (watch_.crammed.empty()) return;
  const std::vector<std::string> events = read_events(server, disk, checker);
  for (const MqttWatch::Crammed& client : watch_.crammed) {
    std::vector<std::string> matched;
    for (const Message& message : messages_)
      if (filter_matches(client.filter, message.topic)) matched.push_back(message.payload);
    sim::compare_losses(client, matched, events, checker);
    watch_.lost += lost_of(client.name, events);
  }
}

void MqttLog::compare_streams(server::Server& server, Disk& disk, Checker& checker, bool damaged) {
  compare_partition(server, disk, std::string(kMessagesStream), 0, in_messages_, checker, damaged);
  for (const auto& [name, stream] : streams_)
    for (uint32_t i = 0; i < stream.partitions.size() && !checker.failed(); ++i)
      compare_partition(server, disk, name, i, stream.partitions[i], checker, damaged);
}

void MqttLog::compare_partition(server::Server& server, Disk& disk, const std::string& name, uint32_t partition,
                                const std::vector<size_t>& expected, Checker& checker, bool damaged) {
  constexpr uint32_t kReadBytes = 64 << 10;
  const std::optional<PartitionId> found = server.streams().find_partition(name, partition);
  const Offset end = found ? server.streams().durable_end(*found) : 0;
  const std::string which = "the stream " + name + ", partition " + std::to_string(partition) + ", ";
  if (end != static_cast<Offset>(expected.size()))
    return checker.fail(which + "ends at " + std::to_string(end) + " instead of " + std::to_string(expected.size()));
  server::LogRecordsReader reader(server.log(), disk, server.archive(), server.renderers());
  for (Offset next = 0; next < end && !checker.failed();) {
    const net::RecordsRead read = reader.read(server.streams().locate({*found, next, kReadBytes, {}}));
    if (read.error && damaged && *read.error == Errc::corrupt) return;
    if (read.error || read.batches.empty())
      return checker.fail(which + "cannot be read at offset " + std::to_string(next) +
                          (read.error ? std::string(": ") + errc_name(*read.error) : std::string()));
    for (const Buffer& batch : read.batches) {
      const Result<void> walked = streams::for_each_record(batch.view(), [&](const streams::RecordView& record) {
        if (record.offset < next || record.offset >= end) return;
        const Message& message = messages_[expected[static_cast<size_t>(record.offset)]];
        if (record.offset != next || as_text(record.key) != message.topic || as_text(record.value) != message.payload)
          checker.fail(which + "has another message at offset " + std::to_string(record.offset) + " than " +
                       message.topic + " " + message.payload.substr(0, 12));
        ++watch_.read_back;
        next = record.offset + 1;
      });
      if (!walked) return checker.fail(which + walked.error().message);
    }
  }
}

}  // namespace heptane::sim
