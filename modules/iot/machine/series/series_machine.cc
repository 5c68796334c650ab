#include "modules/iot/machine/series/series_machine.h"

#include <charconv>

#include "kernel/streams/streams_machine.h"
#include "modules/iot/machine/texts.h"

namespace heptane::iot::series {

namespace {

constexpr uint32_t kSavedForm = 1;
constexpr size_t kFieldKeyBytesMax = kKeyBytesMax + kFieldNameBytesMax + 1;
constexpr size_t kNodeBytes = 64;  // of a field beside its name, and of a database

size_t configured_series(const Effects& effects) {
  const std::string_view text = effects.config(kMaxSeries);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool said = error == std::errc() && end == text.data() + text.size() && number > 0;
  return static_cast<size_t>(said ? number : kSeriesMax);
}

std::string field_key(std::string_view measurement, std::string_view name) {
  std::string key(measurement);
  return key.append(" ").append(name);
}

std::string conflict(std::string_view measurement, std::string_view name, FieldType type, FieldType there) {
  std::string text = "field type conflict: input field \"";
  text.append(name).append("\" on measurement \"").append(measurement).append("\" is type ").append(type_name(type));
  return text.append(", already exists as type ").append(type_name(there));
}

std::optional<PartitionId> lines_partition(const Command& command, Effects& effects) {
  auto& streams = effects.port<streams::StreamsMachine>(machine_ids::kStreams);
  const auto partition = streams.ensure_view(kLinesStream, kLinesView, command.sequence,
                                             streams::StreamConfig{kLinesRetentionMs, kLinesRetentionBytes});
  if (!partition)
    effects.refuse(Errc::exists, 0, "the stream iot.lines was made by a client and has records: delete it");
  return partition;
}

}  // namespace

void SeriesMachine::apply(const Command& command, Effects& effects) {
  if (scopes_ > 0) return effects.refuse(Errc::unsupported, 0, "what is done to series is a command of its own");
  switch (command.type) {
    case kWriteLines: apply_write(command, effects); break;
    case kCreateDatabase: apply_create(command, effects); break;
    case kDropDatabase: apply_drop(command, effects); break;
    default: effects.refuse(Errc::unsupported, 0, "the machine of series has no such command");
  }
  count();
}

void SeriesMachine::apply_create(const Command& command, Effects& effects) {
  const std::string_view name = as_text(command.payload);
  if (!valid_database(name))
    return effects.refuse(Errc::invalid_argument, 0, "a database's name is 1 to 64 of a-z A-Z 0-9 _ - . :");
  if (databases_.contains(name)) return effects.unchanged(0);
  if (databases_.size() == kDatabasesMax) return effects.refuse(Errc::no_space, 0, "there are 1,000 databases");
  const auto partition = lines_partition(command, effects);
  if (!partition) return;
  partition_ = *partition;
  databases_[std::string(name)];
  effects.reply(1);
}

void SeriesMachine::apply_drop(const Command& command, Effects& effects) {
  const auto found = databases_.find(as_text(command.payload));
  if (found == databases_.end()) return effects.unchanged(0);
  series_ -= found->second.series.size();
  fields_ -= found->second.fields.size();
  field_bytes_ -= found->second.field_bytes;
  databases_.erase(found);
  end_ = effects.emit_view(partition_, 1) + 1;
  effects.reply(1);
}

void SeriesMachine::apply_write(const Command& command, Effects& effects) {
  const auto lines = decode_lines(command.payload);
  if (!lines) return effects.refuse(Errc::invalid_argument, 0, "the command is no list of lines");
  const auto found = databases_.find(lines->database);
  if (found == databases_.end())
    return effects.refuse(Errc::not_found, 0, "database not found: \"" + std::string(lines->database) + "\"");
  series_max_ = configured_series(effects);
  Judgement judged;
  if (!lines->has_tables || !take_tables(*lines, found->second)) judged = take_lines(*lines, found->second);
  if (judged.count == lines->count) {
    const Errc code = judged.first->no_room ? Errc::no_space : Errc::invalid_argument;
    return effects.refuse(code, judged.first->line + 1, judged.first->why);
  }
  end_ = effects.emit_view(partition_, 1) + 1;
  if (judged.count == 0) return effects.reply(lines->count, 0);
  effects.log_result(judged.dropped);
  effects.reply(encode(*judged.first).view(), lines->count - judged.count, judged.count);
}

// All of it, or nothing where something does not fit. False: nothing.
bool SeriesMachine::take_tables(const LinesCommand& lines, Database& database) {
  std::vector<Hash128> series;
  for (const Place& place : lines.series) {
    const Hash128 hash = key_hash(lines.text(place));
    if (!database.series.has(hash)) series.push_back(hash);
  }
  std::map<std::string, FieldType, std::less<>> fields;
  size_t bytes = 0;
  for (const FieldPlace& place : lines.fields) {
    std::string key = field_key(lines.text(place.measurement), lines.text(place.name));
    const auto there = database.fields.find(key);
    if (there != database.fields.end() && there->second != place.type) return false;
    if (there != database.fields.end()) continue;
    bytes += key.size();
    if (const auto [at, added] = fields.emplace(std::move(key), place.type); !added && at->second != place.type)
      return false;
  }
  if (series_ + series.size() > series_max_ && !series.empty()) return false;
  if (fields_ + fields.size() > kFieldsOfAllMax || field_bytes_ + bytes > kFieldNamesBytesMax) return false;
  for (const Hash128& hash : series) series_ += database.series.add(hash) ? 1 : 0;
  for (const auto& [key, type] : fields) add_field(database, key, type);
  return true;
}

SeriesMachine::Judgement SeriesMachine::take_lines(const LinesCommand& lines, Database& database) {
  Judgement judged;
  judged.dropped.resize(lines.count / 8 + 1);
  LineReader reader(lines.lines);
  Line line;
  std::string scratch;
  for (uint32_t i = 0; i < lines.count && reader.next(line); ++i) {
    const auto key = series_key(line, scratch);
    bool no_room = false;
    std::string why = key && reader.refused().empty() ? take_line(line, *key, database, no_room) : "not a line";
    if (why.empty()) continue;
    judged.dropped[i / 8] |= std::byte{1} << i % 8;
    ++judged.count;
    if (!judged.first) judged.first = Dropped{i, no_room, std::move(why)};
  }
  return judged;
}

// Why it is not taken; empty: it is.
std::string SeriesMachine::take_line(const Line& line, std::string_view key, Database& database, bool& no_room) {
  std::map<std::string, FieldType, std::less<>> fields;
  size_t bytes = 0;
  for (const Field& field : line.fields) {
    std::string name = field_key(line.measurement, field.name);
    const auto there = database.fields.find(name);
    if (there != database.fields.end() && there->second != field.value.type)
      return conflict(line.measurement, field.name, field.value.type, there->second);
    if (there != database.fields.end()) continue;
    bytes += name.size();
    const auto [at, added] = fields.emplace(std::move(name), field.value.type);
    if (!added && at->second != field.value.type)
      return conflict(line.measurement, field.name, field.value.type, at->second);
  }
  const Hash128 hash = key_hash(key);
  no_room = true;
  if (!database.series.has(hash) && series_ >= series_max_)
    return "max series exceeded: there are " + std::to_string(series_max_) + " (series.max_series)";
  if (fields_ + fields.size() > kFieldsOfAllMax || field_bytes_ + bytes > kFieldNamesBytesMax)
    return "max fields exceeded: there are " + std::to_string(fields_);
  no_room = false;
  series_ += database.series.add(hash) ? 1 : 0;
  for (const auto& [name, type] : fields) add_field(database, name, type);
  return {};
}

void SeriesMachine::add_field(Database& database, const std::string& key, FieldType type) {
  database.fields.emplace(key, type);
  database.field_bytes += key.size();
  field_bytes_ += key.size();
  ++fields_;
}

void SeriesMachine::query(const Query& query, Reply& reply) const {
  if (query.type != kQueryDatabases) {
    reply.error = Errc::unsupported;
    reply.message = "the machine of series has no such query";
    return;
  }
  ByteWriter out;
  for (const auto& [name, database] : databases_) put_text(out, name);
  reply.payload = Buffer::take(out.release());
  reply.numbers = {static_cast<int64_t>(partition_), end_};
}

uint64_t SeriesMachine::memory_bytes() const {
  uint64_t bytes = field_bytes_ + kNodeBytes * (fields_ + databases_.size());
  for (const auto& [name, database] : databases_) bytes += database.series.bytes();
  return bytes;
}

void SeriesMachine::save(SnapshotWriter& writer) const {
  writer.le<uint32_t>(kSavedForm);
  writer.le<PartitionId>(partition_);
  writer.le<int64_t>(end_);
  writer.le<uint32_t>(static_cast<uint32_t>(databases_.size()));
  for (const auto& [name, database] : databases_) {
    writer.text(name);
    writer.le<uint64_t>(database.fields.size());
    for (const auto& [key, type] : database.fields) {
      writer.text(key);
      writer.le<uint8_t>(static_cast<uint8_t>(type));
    }
    writer.le<uint64_t>(database.series.size());
    for (const Hash128& hash : database.series.sorted()) {
      writer.le<uint64_t>(hash.high);
      writer.le<uint64_t>(hash.low);
    }
  }
}

Result<void> SeriesMachine::restore(SnapshotReader& reader) {
  make_fresh();
  if (reader.le<uint32_t>() != kSavedForm) reader.fail();
  partition_ = reader.le<PartitionId>();
  end_ = reader.le<int64_t>();
  const auto databases = reader.le<uint32_t>();
  if (databases > kDatabasesMax) reader.fail();
  for (uint32_t i = 0; i < databases && !reader.failed(); ++i) {
    Database& database = databases_[reader.text(kDatabaseNameBytesMax)];
    const auto fields = reader.le<uint64_t>();
    for (uint64_t field = 0; field < fields && !reader.failed(); ++field) {
      const std::string key = reader.text(kFieldKeyBytesMax);
      const auto type = reader.le<uint8_t>();
      if (type > static_cast<uint8_t>(FieldType::unsigned_integer)) reader.fail();
      add_field(database, key, static_cast<FieldType>(type));
    }
    const auto series = reader.le<uint64_t>();
    for (uint64_t key = 0; key < series && !reader.failed(); ++key) {
      Hash128 hash;
      hash.high = reader.le<uint64_t>();
      hash.low = reader.le<uint64_t>();
      series_ += database.series.add(hash) ? 1 : 0;
    }
  }
  count();
  if (reader.failed()) return Error{Errc::corrupt, "the databases of series are cut off"};
  return {};
}

void SeriesMachine::make_fresh() {
  databases_.clear();
  series_ = fields_ = field_bytes_ = 0;
  partition_ = kNoPartition;
  end_ = 0;
  count();
}

}  // namespace heptane::iot::series
