// A lean initiator of FIX 4.4 for benches: many sessions from one thread, epoll, orders encoded beforehand with the numbers that they will
// have. An order is in flight until its report 150=0 is read; reports come in the order of the orders. What is refused, or a session that
// ends, ends the bench. One thread's.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace heptane::bench {

class FixLoad {
 public:
  // The body of a session's next order, from behind the header up to CheckSum.
  using BodyOf = std::function<std::string(size_t session)>;

  // Logs all of them on, with numbers that begin anew (141=Y).
  FixLoad(uint16_t port, const std::vector<std::string>& names, BodyOf body_of);
  ~FixLoad();
  FixLoad(const FixLoad&) = delete;
  FixLoad& operator=(const FixLoad&) = delete;

  // So that each session has as many ready; one that runs out makes more in its turn.
  void prepare(size_t each);
  // Closed loop: `window` orders of each session in flight. What is in flight at its end stays so.
  void run(int64_t duration_ns, size_t window);
  // Open loop: sessions take turns, an order's latency counts from the moment at which it was due.
  void run_paced(int64_t duration_ns, double orders_per_second);
  void drain();  // until nothing is in flight

  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t fills() const { return fills_; }  // reports 150=F: two a trade
  // Microseconds from sent, or due, to its acknowledgement read.
  std::vector<double>& latencies() { return latencies_; }

 private:
  struct Session {
    std::string name;
    int fd = -1;
    std::string orders;        // encoded, one behind the other
    std::vector<size_t> ends;  // of each in `orders`
    size_t wanted = 0;         // how many may be sent by now
    size_t sent_bytes = 0;     // of `orders`
    size_t acknowledged = 0;
    std::vector<int64_t> begun_ns;  // of each that may be sent
    std::vector<char> input;
    size_t input_bytes = 0;
  };

  void log_on(uint16_t port, size_t index);
  void encode_next(Session& session, size_t index);
  void allow(size_t index, int64_t begun_ns);  // one more
  void flush(Session& session);
  // Takes what came until `until_ns` at the latest; false: nothing came.
  bool turn(int64_t until_ns, size_t window);
  void receive(size_t index, size_t window);
  size_t take(Session& session, const char* begin, const char* end);  // bytes of the first whole message; 0
  void take_report(Session& session, const char* begin, const char* end);
  bool idle() const;

  BodyOf body_of_;
  std::vector<Session> sessions_;
  int epoll_ = -1;
  bool logged_on_ = false;
  uint64_t acknowledged_ = 0;
  uint64_t fills_ = 0;
  int64_t now_ns_ = 0;
  std::vector<double> latencies_;
};

}  // namespace heptane::bench
