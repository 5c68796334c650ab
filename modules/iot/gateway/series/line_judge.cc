#include "modules/iot/gateway/series/line_judge.h"

namespace heptane::iot::series {

namespace {

struct NewField {
  Hash128 hash;
  FieldType type = FieldType::real;
};

// What a line names that is not there.
struct News {
  Hash128 series;
  Hash128 measurement;
  std::vector<NewField> fields;
  size_t field_bytes = 0;
};

class LineJudge {
 public:
  LineJudge(const LinesCommand& command, const Fit& fit, uint64_t seed)
      : fit_(fit), seed_(seed), series_(seed), fields_(seed), measurements_(seed) {
    for (size_t i = 0; i < command.series.size(); ++i)
      if (fit.knows_series[i]) series_.add(key_hash(command.text(command.series[i])));
    for (size_t i = 0; i < command.fields.size(); ++i) {
      const FieldPlace& field = command.fields[i];
      const Hash128 measurement = key_hash(command.text(field.measurement));
      if (fit.types[i]) fields_.add(field_hash(measurement, command.text(field.name)), *fit.types[i]);
      measurements_.add(measurement, fit.measurement_fields[i]);
    }
  }

  // Why it does not fit; empty: it does, and counts from now on.
  std::string take(const Line& line, bool& no_room) {
    News news{key_hash(line.head), key_hash(line.measurement), {}, 0};
    std::string why = find_news(line, news);
    no_room = why.empty();
    if (why.empty()) why = wrong_room(line, news);
    if (!why.empty()) return why;
    no_room = false;
    keep(news);
    return {};
  }

 private:
  std::string find_news(const Line& line, News& news) const {
    KeyTable<FieldType> fresh(seed_);
    for (const Field& field : line.fields) {
      const Hash128 hash = field_hash(news.measurement, field.name);
      const FieldType* known = fields_.find(hash);
      const auto [there, added] = known != nullptr ? std::pair(*known, false) : first_of(fresh, hash, field.value.type);
      if (there != field.value.type) return type_conflict(line.measurement, field.name, field.value.type, there);
      if (!added) continue;
      news.fields.push_back({hash, field.value.type});
      news.field_bytes += field_name_bytes(line.measurement, field.name);
    }
    return {};
  }
  // The type that the line says first, and whether this is it.
  static std::pair<FieldType, bool> first_of(KeyTable<FieldType>& fresh, const Hash128& hash, FieldType type) {
    const auto [there, added] = fresh.add(hash, type);
    return {*there, added};
  }
  std::string wrong_room(const Line& line, const News& news) const {
    if (!series_.has(news.series) && new_series_ >= fit_.series_room)
      return "max series exceeded: there are " + std::to_string(fit_.series_max) + " (series.max_series)";
    if (news.fields.empty()) return {};
    const uint32_t* count = measurements_.find(news.measurement);
    if ((count == nullptr ? 0 : *count) + news.fields.size() > kMeasurementFieldsMax)
      return "max fields exceeded: measurement \"" + std::string(line.measurement) + "\" may have " +
             std::to_string(kMeasurementFieldsMax);
    if (new_fields_ + news.fields.size() > fit_.fields_room || new_bytes_ + news.field_bytes > fit_.field_bytes_room)
      return "max fields exceeded: there are as many of all measurements as there may be";
    return {};
  }
  void keep(const News& news) {
    new_series_ += series_.add(news.series).second ? 1 : 0;
    for (const NewField& field : news.fields) fields_.add(field.hash, field.type);
    *measurements_.add(news.measurement).first += static_cast<uint32_t>(news.fields.size());
    new_fields_ += news.fields.size();
    new_bytes_ += news.field_bytes;
  }

  const Fit& fit_;
  const uint64_t seed_;
  KeySet series_;
  KeyTable<FieldType> fields_;
  KeyTable<uint32_t> measurements_;  // how many fields each has
  uint64_t new_series_ = 0;
  uint64_t new_fields_ = 0;
  uint64_t new_bytes_ = 0;
};

}  // namespace

std::optional<Judged> judge_lines(const LinesCommand& command, const Fit& fit, uint64_t seed) {
  if (fit.knows_series.size() != command.series.size() || fit.types.size() != command.fields.size())
    return std::nullopt;
  LineJudge judge(command, fit, seed);
  LinesCommandWriter out(command.database, command.unit_ns, command.default_time, seed);
  Judged judged;
  LineReader reader(command.lines, Reading::lines, &out.heads());
  Line line;
  for (uint32_t i = 0; reader.next(line); ++i) {
    bool no_room = false;
    std::string why = judge.take(line, no_room);
    if (why.empty()) {
      out.add(line, line.head);
      judged.kept.push_back(i);
    } else if (judged.dropped++ == 0) {
      judged.first = {i, no_room, std::move(why)};
    }
  }
  if (out.count() > 0) judged.command = out.finish();
  return judged;
}

}  // namespace heptane::iot::series
