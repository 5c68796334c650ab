// The one metrics registry: names, helps and types with functions that say the value, read when somebody asks for the
// Prometheus text format 0.0.4. Everything is registered at start-up, before the first render; the functions are called
// on the I/O thread and read atomics or what that thread owns.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace heptane {

enum class MetricType : uint8_t { counter, gauge };

class Telemetry {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;
  using Value = std::function<double()>;

  // `heptane_` and [a-z0-9_]; a counter ends with `_total`, a gauge does not. A name that is there already gets one more
  // set of labels; type and help stay the same.
  void add(MetricType type, std::string_view name, std::string_view help, Value value, Labels labels = {});
  void counter(std::string_view name, std::string_view help, Value value, Labels labels = {}) {
    add(MetricType::counter, name, help, std::move(value), std::move(labels));
  }
  void gauge(std::string_view name, std::string_view help, Value value, Labels labels = {}) {
    add(MetricType::gauge, name, help, std::move(value), std::move(labels));
  }

  // Families in order of name, samples in order of labels.
  std::string render() const;

 private:
  struct Family {
    MetricType type;
    std::string help;
    std::map<std::string, Value> samples;  // by labels as they are written
  };
  std::map<std::string, Family, std::less<>> families_;
};

}  // namespace heptane
