// The one metrics registry: names, helps and types with functions that say the value, read when somebody asks for the
// Prometheus text format 0.0.4. Registered and rendered on the I/O thread; the functions read atomics or what that thread
// owns.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace heptane {

// For a counter that one thread alone writes and any reads: no locked instruction, which would wait for every store before
// it, a machine's misses among them.
inline void count_alone(std::atomic<uint64_t>& counter, uint64_t more = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
}

enum class MetricType : uint8_t { counter, gauge, histogram };

// Counts values below fixed bounds. One thread observes, any reads; a reader may see a value in the sum that is not in a
// bucket yet.
class Histogram {
 public:
  // Rising; one more bucket holds what is above the last.
  explicit Histogram(std::vector<double> bounds);
  void observe(double value);

  std::span<const double> bounds() const { return bounds_; }
  uint64_t count_of(size_t bucket) const { return counts_[bucket].load(std::memory_order_relaxed); }
  double sum() const { return sum_.load(std::memory_order_relaxed); }

  // `count` bounds from `first` on, each `factor` times the one before.
  static std::vector<double> exponential_bounds(double first, double factor, size_t count);

 private:
  const std::vector<double> bounds_;
  const std::unique_ptr<std::atomic<uint64_t>[]> counts_;
  std::atomic<double> sum_{0};
};

class Telemetry {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;
  using Value = std::function<double()>;

  // `heptane_` (or `process_`, whose names every exporter shares) and [a-z0-9_]; a counter ends with `_total`, nothing else
  // does. A name that is there already gets one more set of labels; type and help stay the same.
  void add(MetricType type, std::string_view name, std::string_view help, Value value, Labels labels = {});
  void counter(std::string_view name, std::string_view help, Value value, Labels labels = {}) {
    add(MetricType::counter, name, help, std::move(value), std::move(labels));
  }
  void gauge(std::string_view name, std::string_view help, Value value, Labels labels = {}) {
    add(MetricType::gauge, name, help, std::move(value), std::move(labels));
  }

  // The histogram outlives the registry.
  void histogram(std::string_view name, std::string_view help, const Histogram& histogram, Labels labels = {});

  // Families in order of name, samples in order of labels.
  std::string render() const;

 private:
  struct Family {
    MetricType type;
    std::string help;
    std::map<std::string, Value> samples;  // by labels as they are written
    std::vector<std::pair<Labels, const Histogram*>> histograms{};
  };
  Family& family(MetricType type, std::string_view name, std::string_view help);
  std::map<std::string, Family, std::less<>> families_;
};

}  // namespace heptane
