// What a queue of the machine has for somebody here: references come by their delivery numbers, a page at a time, the messages
// they name out of what was published lately or else out of the log. Whoever derives from it sends them, in the order of the
// numbers, and says what became of them.
//
// The machine may drop what was not sent, and hears of that lazily: nothing is taken that lies `ahead` or more above what it is
// known to know (Settlement::sent). At most kItemsMax references and kLoadedBytesMax of messages are held. The I/O thread's.
#pragma once

#include <vector>

#include "kernel/net/session.h"
#include "modules/iot/gateway/mqtt/broker.h"
#include "modules/iot/gateway/mqtt/fifo.h"
#include "modules/iot/machine/session_api.h"

namespace heptane::iot::mqtt {

class QueueReader {
 public:
  static constexpr RequestId kRequests = 1ULL << 40;  // requests from here on are of such
  static constexpr size_t kItemsMax = 256;            // fetched and not sent
  static constexpr size_t kLoadedBytesMax = size_t{1} << 20;

  virtual ~QueueReader() { broker_.stored().forget(*this); }
  QueueReader(const QueueReader&) = delete;
  QueueReader& operator=(const QueueReader&) = delete;

  // There may be more in it.
  void wake();
  virtual void pump() = 0;
  // False: the answer is not its own.
  bool take_reply(RequestId request, const Reply& reply);
  bool take_records(RequestId request, const net::RecordsRead& records);
  bool take_timer(net::SessionTimerId timer);
  // Its messages cannot be read, or the queue is not there any more.
  bool broken() const { return broken_; }
  // It is not there any more.
  bool stale() const { return stale_; }
  // What another has read may be what it waits for.
  virtual void read_ended() = 0;
  // Who was to read what it waits for is gone.
  void look_again();
  // Its messages could not be read; they may be later.
  void read_again_later();
  // The machine knows that numbers below it may have been sent.
  void told_sent(uint64_t upto);

 protected:
  struct Item {
    uint64_t number = 0;
    RecordPlace place{};
    uint8_t flags = 0;
    bool gone = false;
    bool sent = false;  // somebody had it before
    std::vector<uint32_t> ids;
    MessagePtr message;
  };
  struct Queue {
    uint64_t session = 0;
    uint64_t epoch = 0;
    uint64_t sent_upto = 0;
    uint32_t ahead = 1;
    size_t flush_each = 1;  // settlements that the machine hears of at once together
  };

  explicit QueueReader(Broker& broker) : broker_(broker) {}
  void begin_reading(const Queue& queue, net::SessionContext* context);
  virtual RequestId make_request() = 0;
  virtual net::SessionTimerId arm(int64_t delay_ns) = 0;
  // Who is told when a settlement is synced; 0: it is a group.
  virtual SessionId settler() const = 0;
  virtual void page_asked() {}
  virtual void page_came() {}

  void fetch();
  void load();
  void again_later(int64_t delay_ns);
  // The queue is empty here: what was held back may be asked for.
  void go_on();
  void note_sent(uint64_t number);
  void settle(uint64_t number, Settlement kind);

  Broker& broker_;
  net::SessionContext* context_ = nullptr;  // null: there is no way to the shard any more
  Fifo<Item> items_;
  bool broken_ = false;
  bool stale_ = false;
  Queue queue_;

 private:
  void hold_from(uint64_t number);
  void tell_sent(uint64_t upto);
  bool is_missing(const Item& item) const;
  uint32_t bytes_to_read() const;
  void mark_gone(PartitionId partition, Offset before);
  void take_read(const net::RecordsRead& records);
  void put_records(const net::RecordsRead& records);

  uint64_t next_ = 0;  // the number to ask for
  size_t unflushed_ = 0;
  uint64_t known_upto_ = 0;  // numbers below it may have been sent: the machine's, synced
  bool telling_ = false;     // it is being told more
  uint64_t safe_upto_ = 0;   // what the page that is asked for names below it stays in the machine's queue
  uint64_t held_from_ = 0;   // not fetched: the machine might drop it; 0: nothing is
  RequestId asked_ = 0;      // 0: no query is under way
  // Few at first: of a thousand that come back at once nobody waits long for what the others ask for.
  uint16_t page_items_ = 16;
  RequestId reading_ = 0;     // 0: no read is under way
  RecordPlace read_place_{};  // of the last read
  net::SessionTimerId timer_ = 0;
  bool dirty_ = false;
};

}  // namespace heptane::iot::mqtt
