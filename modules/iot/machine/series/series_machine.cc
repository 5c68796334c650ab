#include "modules/iot/machine/series/series_machine.h"

#include <algorithm>
#include <charconv>

#include "kernel/streams/streams_machine.h"
#include "modules/iot/machine/texts.h"

namespace heptane::iot::series {

namespace {

constexpr uint32_t kSavedForm = 2;
constexpr uint32_t kFirstForm = 1;  // fields by their texts
constexpr size_t kFieldKeyBytesMax = kKeyBytesMax + kFieldNameBytesMax + 1;
constexpr size_t kDatabaseBytes = 256;
constexpr size_t kShedBlocks = 8;  // of dropped databases, with each command

size_t configured_series(const Effects& effects) {
  const std::string_view text = effects.config(kMaxSeries);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool said = error == std::errc() && end == text.data() + text.size() && number > 0;
  return static_cast<size_t>(said ? number : kSeriesMax);
}

// Where the measurement ends in a field's key of the first form: at the first space that no backslash escapes.
size_t measurement_end(std::string_view key) {
  size_t at = 0;
  while (at < key.size() && key[at] != ' ') at += key[at] == '\\' && at + 1 < key.size() && key[at + 1] == ' ' ? 2 : 1;
  return std::min(at, key.size());
}

void put_hash(SnapshotWriter& writer, const Hash128& hash) {
  writer.le<uint64_t>(hash.high);
  writer.le<uint64_t>(hash.low);
}

Hash128 get_hash(SnapshotReader& reader) {
  Hash128 hash;
  hash.high = reader.le<uint64_t>();
  hash.low = reader.le<uint64_t>();
  if (hash == Hash128{}) reader.fail();
  return hash;
}

FieldType get_type(SnapshotReader& reader) {
  const auto type = reader.le<uint8_t>();
  if (type > static_cast<uint8_t>(FieldType::unsigned_integer)) reader.fail();
  return static_cast<FieldType>(type);
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
  (void)shed();
  if (!marks_.empty()) return effects.refuse(Errc::unsupported, 0, "what is done to series is a command of its own");
  switch (command.type) {
    case kWriteLines: apply_write(command, effects); break;
    case kCreateDatabase: apply_create(command, effects); break;
    case kDropDatabase: apply_drop(command, effects); break;
    case kTakeLines: apply_take(command, effects); break;
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
  make_database(name);
  effects.reply(1);
}

// True: there is more to let go.
bool SeriesMachine::shed() {
  for (size_t i = 0; i < kShedBlocks && !dropped_.empty(); ++i) {
    Database& gone = dropped_.back();
    if (!gone.series.shed() && !gone.fields.shed() && !gone.measurements.shed()) dropped_.pop_back();
  }
  return !dropped_.empty();
}

SeriesMachine::Database& SeriesMachine::make_database(std::string_view name) {
  return databases_.emplace(std::string(name), Database(seed_)).first->second;
}

void SeriesMachine::apply_drop(const Command& command, Effects& effects) {
  const auto found = databases_.find(as_text(command.payload));
  if (found == databases_.end()) return effects.unchanged(0);
  series_ -= found->second.series.size();
  fields_ -= found->second.fields.size();
  field_bytes_ -= found->second.field_bytes;
  dropped_.push_back(std::move(found->second));
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
  const auto news = lines->has_tables ? news_of(*lines, found->second) : std::nullopt;
  if (news && has_room(*news))
    take(*news, found->second);
  else
    judged = take_lines(*lines, found->second);
  if (judged.count == lines->count) {
    const Errc code = judged.first->no_room ? Errc::no_space : Errc::invalid_argument;
    return effects.refuse(code, judged.first->line + 1, judged.first->why);
  }
  end_ = effects.emit_view(partition_, 1) + 1;
  if (judged.count == 0) return effects.reply(lines->count, 0);
  effects.log_result(judged.dropped);
  effects.reply(encode(*judged.first).view(), lines->count - judged.count, judged.count);
}

void SeriesMachine::apply_take(const Command& command, Effects& effects) {
  const auto lines = decode_lines(command.payload);
  // A record without a value would drop the database.
  if (!lines || lines->lines.empty() || !sound_tables(*lines))
    return effects.refuse(Errc::invalid_argument, 0, "the command is no list of lines");
  const auto found = databases_.find(lines->database);
  if (found == databases_.end())
    return effects.refuse(Errc::not_found, 0, "database not found: \"" + std::string(lines->database) + "\"");
  series_max_ = configured_series(effects);
  const auto news = news_of(*lines, found->second);
  if (!news || !has_room(*news) || !bounds_measurements(*news, found->second))
    return effects.refuse(Errc::stale, 0, "some lines do not fit");
  take(*news, found->second);
  end_ = effects.emit_view(partition_, 1) + 1;
  effects.reply(lines->count);
}

// Nullopt: a field has another type.
std::optional<SeriesMachine::News> SeriesMachine::news_of(const LinesCommand& lines, const Database& database) const {
  News news;
  for (const Place& place : lines.series) {
    const Hash128 hash = key_hash(lines.text(place));
    if (!database.series.has(hash)) news.series.push_back(hash);
  }
  KeyTable<FieldType> fresh(seed_);
  Hash128 measurement;
  const FieldPlace* before = nullptr;
  for (const FieldPlace& field : lines.fields) {
    if (before == nullptr || before->measurement.offset != field.measurement.offset)
      measurement = key_hash(lines.text(field.measurement));
    before = &field;
    const Hash128 hash = field_hash(measurement, lines.text(field.name));
    const FieldType* there = database.fields.find(hash);
    if (there != nullptr && *there != field.type) return std::nullopt;
    if (there != nullptr) continue;
    const auto [type, added] = fresh.add(hash, field.type);
    if (*type != field.type) return std::nullopt;
    if (!added) continue;
    const size_t bytes = field_name_bytes(lines.text(field.measurement), lines.text(field.name));
    news.fields.push_back({hash, measurement, field.type, bytes});
    news.field_bytes += bytes;
  }
  return news;
}

bool SeriesMachine::has_room(const News& news) const {
  if (series_ + news.series.size() > series_max_ && !news.series.empty()) return false;
  return fields_ + news.fields.size() <= kFieldsOfAllMax && field_bytes_ + news.field_bytes <= kFieldNamesBytesMax;
}

bool SeriesMachine::bounds_measurements(const News& news, const Database& database) const {
  KeyTable<uint32_t> counts(seed_);
  for (const NewField& field : news.fields) {
    const uint32_t* there = database.measurements.find(field.measurement);
    uint32_t* count = counts.add(field.measurement, there == nullptr ? 0 : *there).first;
    if (++*count > kMeasurementFieldsMax) return false;
  }
  return true;
}

void SeriesMachine::take(const News& news, Database& database) {
  for (const Hash128& hash : news.series) series_ += database.series.add(hash).second ? 1 : 0;
  for (const NewField& field : news.fields) add_field(database, field);
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
    std::string why =
        key && reader.refused().empty() ? take_line(line, *key, lines.database, database, no_room) : "not a line";
    if (why.empty()) continue;
    judged.dropped[i / 8] |= std::byte{1} << i % 8;
    ++judged.count;
    if (!judged.first) judged.first = Dropped{i, no_room, std::move(why)};
  }
  return judged;
}

// Why it is not taken; empty: it is.
std::string SeriesMachine::take_line(const Line& line, std::string_view key, std::string_view name, Database& database,
                                     bool& no_room) {
  News news;
  const Hash128 measurement = key_hash(line.measurement);
  KeyTable<FieldType> fresh(seed_);
  for (const Field& field : line.fields) {
    const Hash128 hash = field_hash(measurement, field.name);
    const FieldType* there = database.fields.find(hash);
    const bool known = there != nullptr;
    if (!known) {
      const auto [type, added] = fresh.add(hash, field.value.type);
      const size_t bytes = field_name_bytes(line.measurement, field.name);
      if (added) news.fields.push_back({hash, measurement, field.value.type, bytes});
      news.field_bytes += added ? bytes : 0;
      there = type;
    }
    if (*there != field.value.type) return type_conflict(line.measurement, field.name, field.value.type, *there);
  }
  const Hash128 hash = key_hash(key);
  if (!database.series.has(hash)) news.series.push_back(hash);
  no_room = true;
  if (!news.series.empty() && series_ >= series_max_)
    return "max series exceeded: there are " + std::to_string(series_max_) + " (series.max_series)";
  if (!has_room(news)) return "max fields exceeded: there are " + std::to_string(fields_);
  no_room = false;
  take(news, database);
  note(name, news);
  return {};
}

std::string SeriesMachine::take_line_for(std::string_view database, std::string_view line, Effects& effects) {
  const auto found = databases_.find(database);
  if (found == databases_.end()) return "database not found: \"" + std::string(database) + "\"";
  LineReader reader(line);
  Line read;
  std::string scratch;
  if (!reader.next(read)) return "there is no line";
  if (!reader.refused().empty()) return std::string(reader.refused());
  if (!read.time || series_key(read, scratch) != read.head) return "a line needs its time, and its tags in order";
  if (read.text.size() != line.size()) return "it is more than one line";
  if (!bounds_fields(read, found->second))
    return "max fields exceeded: the measurement may have " + std::to_string(kMeasurementFieldsMax);
  series_max_ = configured_series(effects);
  bool no_room = false;
  std::string why = take_line(read, read.head, found->first, found->second, no_room);
  count();
  return why;
}

// What a series of the measurement may have. Of a rule's line alone: those of kWriteLines were logged without it.
bool SeriesMachine::bounds_fields(const Line& line, const Database& database) const {
  const Hash128 measurement = key_hash(line.measurement);
  const uint32_t* there = database.measurements.find(measurement);
  size_t count = there == nullptr ? 0 : *there;
  KeySet fresh(seed_);
  for (const Field& field : line.fields) {
    const Hash128 hash = field_hash(measurement, field.name);
    if (database.fields.find(hash) == nullptr && fresh.add(hash).second) ++count;
  }
  return count <= kMeasurementFieldsMax;
}

// The lines stand beside the command, which is another machine's.
void SeriesMachine::emit_lines(std::string_view database, std::string_view lines, Effects& effects) {
  const Effects::Turn turn(effects, kSeriesMachineId);
  ByteWriter out;
  put_text(out, database);
  out.append(lines);
  effects.log_result(out.view());
  end_ = effects.emit_view(partition_, 1) + 1;
}

void SeriesMachine::close_scope(ScopeOutcome outcome) {
  const Mark mark = marks_.back();
  marks_.pop_back();
  if (outcome == ScopeOutcome::roll_back) {
    for (; undo_.size() > mark.undo; undo_.pop_back()) take_back(undo_.back());
    end_ = mark.end;
  }
  if (marks_.empty()) undo_.clear();
  count();
}

void SeriesMachine::note(std::string_view database, const News& news) {
  if (marks_.empty()) return;
  for (const Hash128& series : news.series) undo_.push_back({std::string(database), series, {}});
  for (const NewField& field : news.fields) undo_.push_back({std::string(database), {}, field});
}

void SeriesMachine::take_back(const Added& added) {
  Database& database = databases_.find(added.database)->second;
  if (added.series != Hash128{}) {
    database.series.remove(added.series);
    --series_;
    return;
  }
  database.fields.remove(added.field.hash);
  uint32_t& fields = *database.measurements.add(added.field.measurement).first;
  if (--fields == 0) database.measurements.remove(added.field.measurement);
  database.field_bytes -= added.field.bytes;
  field_bytes_ -= added.field.bytes;
  --fields_;
}

void SeriesMachine::add_field(Database& database, const NewField& field) {
  if (!database.fields.add(field.hash, field.type).second) return;
  ++*database.measurements.add(field.measurement).first;
  database.field_bytes += field.bytes;
  field_bytes_ += field.bytes;
  ++fields_;
}

void SeriesMachine::query(const Query& query, Reply& reply) const {
  if (query.type == kQueryFit) return query_fit(query, reply);
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

void SeriesMachine::query_fit(const Query& query, Reply& reply) const {
  const auto lines = decode_lines(query.payload);
  if (!lines || !sound_tables(*lines)) {
    reply.error = Errc::invalid_argument;
    reply.message = "the query is no list of lines";
    return;
  }
  const auto found = databases_.find(lines->database);
  if (found == databases_.end()) {
    reply.error = Errc::not_found;
    reply.message = "database not found: \"" + std::string(lines->database) + "\"";
    return;
  }
  reply.payload = encode(fit_of(*lines, found->second));
}

Fit SeriesMachine::fit_of(const LinesCommand& lines, const Database& database) const {
  Fit fit;
  fit.series_max = series_max_;
  fit.series_room = series_max_ - std::min<uint64_t>(series_max_, series_);
  fit.fields_room = kFieldsOfAllMax - std::min(kFieldsOfAllMax, fields_);
  fit.field_bytes_room = kFieldNamesBytesMax - std::min(kFieldNamesBytesMax, field_bytes_);
  for (const Place& place : lines.series) fit.knows_series.push_back(database.series.has(key_hash(lines.text(place))));
  for (const FieldPlace& field : lines.fields) {
    const Hash128 measurement = key_hash(lines.text(field.measurement));
    const FieldType* type = database.fields.find(field_hash(measurement, lines.text(field.name)));
    const uint32_t* count = database.measurements.find(measurement);
    fit.types.push_back(type == nullptr ? std::nullopt : std::optional(*type));
    fit.measurement_fields.push_back(count == nullptr ? 0 : *count);
  }
  return fit;
}

uint64_t SeriesMachine::memory_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [name, database] : databases_)
    bytes += kDatabaseBytes + database.series.bytes() + database.fields.bytes() + database.measurements.bytes();
  return bytes;
}

void SeriesMachine::save(SnapshotWriter& writer) const {
  writer.le<uint32_t>(kSavedForm);
  writer.le<PartitionId>(partition_);
  writer.le<int64_t>(end_);
  writer.le<uint32_t>(static_cast<uint32_t>(databases_.size()));
  for (const auto& [name, database] : databases_) {
    writer.text(name);
    writer.le<uint64_t>(database.field_bytes);
    writer.le<uint64_t>(database.measurements.size());
    for (const auto& [hash, count] : database.measurements.sorted()) {
      put_hash(writer, hash);
      writer.le<uint32_t>(count);
    }
    writer.le<uint64_t>(database.fields.size());
    for (const auto& [hash, type] : database.fields.sorted()) {
      put_hash(writer, hash);
      writer.le<uint8_t>(static_cast<uint8_t>(type));
    }
    writer.le<uint64_t>(database.series.size());
    for (const auto& [hash, none] : database.series.sorted()) put_hash(writer, hash);
  }
}

Result<void> SeriesMachine::restore(SnapshotReader& reader) {
  make_fresh();
  const auto form = reader.le<uint32_t>();
  if (form != kSavedForm && form != kFirstForm) reader.fail();
  partition_ = reader.le<PartitionId>();
  end_ = reader.le<int64_t>();
  const auto databases = reader.le<uint32_t>();
  if (databases > kDatabasesMax) reader.fail();
  for (uint32_t i = 0; i < databases && !reader.failed(); ++i) {
    Database& database = make_database(reader.text(kDatabaseNameBytesMax));
    restore_fields(reader, form, database);
    const auto series = reader.le<uint64_t>();
    for (uint64_t key = 0; key < series && !reader.failed(); ++key)
      series_ += database.series.add(get_hash(reader)).second ? 1 : 0;
  }
  count();
  if (reader.failed()) return Error{Errc::corrupt, "the databases of series are cut off"};
  return {};
}

void SeriesMachine::restore_fields(SnapshotReader& reader, uint32_t form, Database& database) {
  if (form == kSavedForm) {
    database.field_bytes = reader.le<uint64_t>();
    const auto measurements = reader.le<uint64_t>();
    for (uint64_t i = 0; i < measurements && !reader.failed(); ++i) {
      const Hash128 hash = get_hash(reader);
      database.measurements.add(hash, reader.le<uint32_t>());
    }
  }
  const auto fields = reader.le<uint64_t>();
  for (uint64_t i = 0; i < fields && !reader.failed(); ++i) {
    if (form == kFirstForm) {
      restore_field_of_first_form(reader, database);
      continue;
    }
    const Hash128 hash = get_hash(reader);
    fields_ += database.fields.add(hash, get_type(reader)).second ? 1 : 0;
  }
  if (form == kSavedForm) field_bytes_ += database.field_bytes;
}

void SeriesMachine::restore_field_of_first_form(SnapshotReader& reader, Database& database) {
  const std::string key = reader.text(kFieldKeyBytesMax);
  const FieldType type = get_type(reader);
  const size_t end = measurement_end(key);
  const Hash128 measurement = key_hash(std::string_view(key).substr(0, end));
  const std::string_view name = std::string_view(key).substr(std::min(key.size(), end + 1));
  add_field(database, {field_hash(measurement, name), measurement, type, key.size()});
}

void SeriesMachine::make_fresh() {
  databases_.clear();
  dropped_.clear();
  series_ = fields_ = field_bytes_ = 0;
  partition_ = kNoPartition;
  end_ = 0;
  count();
}

}  // namespace heptane::iot::series
