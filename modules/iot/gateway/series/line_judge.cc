#include "modules/iot/gateway/series/line_judge.h"

namespace heptane::iot::series {

namespace {

struct NewField {
  Hash128 hash;
  FieldType type = FieldType::real;
};

class LineJudge {
 public:
  LineJudge(const LinesCommand& command, const Fit& fit, uint64_t seed)
      : fit_(fit), series_(seed), fields_(seed), measurements_(seed) {
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
    no_room = false;
    std::vector<NewField> news;
    size_t bytes = 0;
    const Hash128 measurement = key_hash(line.measurement);
    for (const Field& field : line.fields) {
      const Hash128 hash = field_hash(measurement, field.name);
      const auto there = type_of(hash, news);
      if (there && *there != field.value.type)
        return type_conflict(line.measurement, field.name, field.value.type, *there);
      if (there) continue;
      news.push_back({hash, field.value.type});
      bytes += field_name_bytes(line.measurement, field.name);
    }
    const Hash128 series = key_hash(line.head);
    no_room = true;
    const bool is_new = !series_.has(series);
    if (is_new && new_series_ >= fit_.series_room)
      return "max series exceeded: there are " + std::to_string(fit_.series_max) + " (series.max_series)";
    uint32_t& count = *measurements_.add(measurement).first;
    if (count + news.size() > kMeasurementFieldsMax && !news.empty()) return too_many_fields(line.measurement);
    if (new_fields_ + news.size() > fit_.fields_room || new_bytes_ + bytes > fit_.field_bytes_room)
      return "max fields exceeded: there are as many of all measurements as there may be";
    no_room = false;
    new_series_ += series_.add(series).second ? 1 : 0;
    for (const NewField& field : news) fields_.add(field.hash, field.type);
    count += static_cast<uint32_t>(news.size());
    new_fields_ += news.size();
    new_bytes_ += bytes;
    return {};
  }

 private:
  std::optional<FieldType> type_of(const Hash128& hash, const std::vector<NewField>& news) const {
    if (const FieldType* known = fields_.find(hash)) return *known;
    for (const NewField& field : news)
      if (field.hash == hash) return field.type;
    return std::nullopt;
  }
  static std::string too_many_fields(std::string_view measurement) {
    return "max fields exceeded: measurement \"" + std::string(measurement) + "\" may have " +
           std::to_string(kMeasurementFieldsMax);
  }

  const Fit& fit_;
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
  LinesCommandWriter out(command.database, command.unit_ns, command.default_time, command.lines.size(), seed);
  Judged judged;
  LineReader reader(command.lines);
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
