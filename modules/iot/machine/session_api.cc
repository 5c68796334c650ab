#include "modules/iot/machine/session_api.h"
#include "modules/iot/machine/texts.h"

namespace heptane::iot {

namespace {

constexpr uint8_t kClean = 1;
constexpr uint8_t kHasWill = 2;
constexpr uint8_t kCaptures = 4;  // of a session that begins, and of one that is opened
constexpr uint8_t kWithWill = 1;
constexpr uint8_t kHasExpiry = 2;
constexpr uint8_t kPresent = 1;
constexpr uint8_t kTells = 2;
constexpr uint8_t kNoLocal = 1;
constexpr uint8_t kRetainAsPublished = 2;
constexpr uint8_t kWalks = 4;
constexpr size_t kWalkedBytes = 21;
constexpr size_t kSettledBytes = 25;
constexpr size_t kSubscriptionBytes = 8;
constexpr size_t kDueWillBytes = 24;
constexpr size_t kItemBytes = 23;

void write_subscription(ByteWriter& out, const KeptSubscription& subscription, bool walks = false) {
  out.le<uint32_t>(subscription.id);
  out.le<uint16_t>(subscription.levels_min);
  out.u8(subscription.qos);
  const int flags = (subscription.no_local ? kNoLocal : 0) |
                    (subscription.retain_as_published ? kRetainAsPublished : 0) | (walks ? kWalks : 0);
  out.u8(static_cast<uint8_t>(flags));
}

KeptSubscription read_subscription(ByteReader& in, bool* walks = nullptr) {
  KeptSubscription subscription;
  subscription.id = in.le<uint32_t>();
  subscription.levels_min = in.le<uint16_t>();
  subscription.qos = in.u8();
  const uint8_t flags = in.u8();
  subscription.no_local = (flags & kNoLocal) != 0;
  subscription.retain_as_published = (flags & kRetainAsPublished) != 0;
  if (walks != nullptr) *walks = (flags & kWalks) != 0;
  if (subscription.qos > 2) in.fail();
  return subscription;
}

Buffer taken(ByteWriter& out) { return Buffer::take(out.release()); }

}  // namespace

Buffer encode(const OpenSession& open) {
  ByteWriter out;
  put_text(out, open.client);
  put_text(out, open.owner);
  const int flags = (open.clean ? kClean : 0) | (open.will ? kHasWill : 0) | (open.captures ? kCaptures : 0);
  out.u8(static_cast<uint8_t>(flags));
  out.u8(static_cast<uint8_t>(open.queue_full));
  out.le<uint32_t>(open.expiry_s);
  out.le<uint32_t>(open.queue_max);
  out.le<uint32_t>(open.ahead);
  if (open.will) {
    out.le<uint32_t>(open.will->delay_s);
    append_message(out, open.will->message);
  }
  return taken(out);
}

std::optional<OpenSession> decode_open_session(Bytes payload) {
  ByteReader in(payload);
  OpenSession open;
  open.client = get_text(in);
  open.owner = get_text(in);
  const uint8_t flags = in.u8();
  open.clean = (flags & kClean) != 0;
  open.captures = (flags & kCaptures) != 0;
  const uint8_t queue_full = in.u8();
  if (queue_full > static_cast<uint8_t>(QueueFull::refuse)) return std::nullopt;
  open.queue_full = static_cast<QueueFull>(queue_full);
  open.expiry_s = in.le<uint32_t>();
  open.queue_max = in.le<uint32_t>();
  open.ahead = in.le<uint32_t>();
  if ((flags & kHasWill) != 0) {
    WillView& will = open.will.emplace();
    will.delay_s = in.le<uint32_t>();
    will.message = read_message(in);
    if (will.message.payload.size() > UINT16_MAX) in.fail();
  }
  const bool fits = !open.client.empty() && open.client.size() <= kClientLimitBytes && open.queue_max > 0 &&
                    open.queue_max <= (open.captures ? kCaptureLimit : kQueueLimit);
  if (!in.complete() || !fits) return std::nullopt;
  return open;
}

void append_opened(ByteWriter& out, const KeptSession& session, bool present, bool tells, bool walks,
                   uint64_t replaced) {
  out.u8(static_cast<uint8_t>((present ? kPresent : 0) | (tells ? kTells : 0) | (session.captures ? kCaptures : 0)));
  out.le<uint64_t>(replaced);
  out.le<uint64_t>(session.queue.first_number());
  out.le<uint64_t>(session.queue.next_number());
  out.le<uint64_t>(session.sent_upto);
  out.le<uint32_t>(static_cast<uint32_t>(session.received.size()));
  for (const auto& [id, content] : session.received) {
    out.le<PacketNumber>(id);
    out.le<uint64_t>(content);
  }
  out.le<uint32_t>(static_cast<uint32_t>(session.subscriptions.size()));
  for (const auto& [filter, subscription] : session.subscriptions) {
    put_text(out, filter);
    write_subscription(out, subscription);
  }
  if (!walks) return;
  out.le<uint32_t>(static_cast<uint32_t>(session.walks.size()));
  for (const auto& [filter, walk] : session.walks) {
    put_text(out, filter);
    put_text(out, walk.after);
    out.le<uint64_t>(walk.number);
  }
}

std::vector<MessageView> read_wills(ByteReader& in) {
  std::vector<MessageView> wills;
  const uint8_t count = in.u8();
  for (uint8_t i = 0; i < count && !in.failed(); ++i) wills.push_back(read_message(in));
  return wills;
}

Result<OpenedSession> decode_opened(Bytes payload) {
  ByteReader in(payload);
  OpenedSession opened;
  opened.wills = read_wills(in);
  const uint8_t flags = in.u8();
  opened.present = (flags & kPresent) != 0;
  opened.tells = (flags & kTells) != 0;
  opened.captures = (flags & kCaptures) != 0;
  opened.replaced = in.le<uint64_t>();
  opened.first_number = in.le<uint64_t>();
  opened.next_number = in.le<uint64_t>();
  opened.sent_upto = in.le<uint64_t>();
  const auto received = in.le<uint32_t>();
  for (uint32_t i = 0; i < received && !in.failed(); ++i) {
    OpenedSession::Received one;
    one.id = in.le<PacketNumber>();
    one.content = in.le<uint64_t>();
    opened.received.push_back(one);
  }
  const auto subscriptions = in.le<uint32_t>();
  for (uint32_t i = 0; i < subscriptions && !in.failed(); ++i) {
    OpenedSession::Subscribed one;
    one.filter = get_text(in);
    one.subscription = read_subscription(in);
    opened.subscriptions.push_back(one);
  }
  opened.keeps_walks = in.remaining() > 0;
  const uint32_t walks = opened.keeps_walks ? in.le<uint32_t>() : 0;
  for (uint32_t i = 0; i < walks && !in.failed(); ++i) {
    OpenedSession::Walk one;
    one.filter = get_text(in);
    one.after = get_text(in);
    one.number = in.le<uint64_t>();
    opened.walks.push_back(one);
  }
  if (!in.complete()) return Error{Errc::corrupt, "the answer about a session is cut off"};
  return opened;
}

Buffer encode(const CloseSession& close) {
  ByteWriter out;
  out.le<uint64_t>(close.session);
  out.le<uint64_t>(close.epoch);
  out.u8(static_cast<uint8_t>((close.with_will ? kWithWill : 0) | (close.expiry_s ? kHasExpiry : 0)));
  out.le<uint32_t>(close.expiry_s.value_or(0));
  out.le<uint64_t>(close.sent_upto);
  return taken(out);
}

std::optional<CloseSession> decode_close_session(Bytes payload) {
  ByteReader in(payload);
  CloseSession close;
  close.session = in.le<uint64_t>();
  close.epoch = in.le<uint64_t>();
  const uint8_t flags = in.u8();
  const auto expiry_s = in.le<uint32_t>();
  close.sent_upto = in.le<uint64_t>();
  close.with_will = (flags & kWithWill) != 0;
  if ((flags & kHasExpiry) != 0) close.expiry_s = expiry_s;
  if (!in.complete()) return std::nullopt;
  return close;
}

Buffer encode(const ChangeFilters& change) {
  ByteWriter out;
  out.le<uint64_t>(change.session);
  out.le<uint64_t>(change.epoch);
  out.le<uint32_t>(static_cast<uint32_t>(change.wishes.size()));
  for (const ChangeFilters::Wish& wish : change.wishes) {
    put_text(out, wish.filter);
    write_subscription(out, wish.subscription, wish.walk != 0);
    if (wish.walk != 0) out.le<uint64_t>(wish.walk);
  }
  return taken(out);
}

std::optional<ChangeFilters> decode_change_filters(Bytes payload) {
  ByteReader in(payload);
  ChangeFilters change;
  change.session = in.le<uint64_t>();
  change.epoch = in.le<uint64_t>();
  const auto count = in.le<uint32_t>();
  if (!in.fits(count, kSubscriptionBytes)) return std::nullopt;
  for (uint32_t i = 0; i < count && !in.failed(); ++i) {
    ChangeFilters::Wish wish;
    wish.filter = get_text(in);
    bool walks = false;
    wish.subscription = read_subscription(in, &walks);
    if (walks) wish.walk = in.le<uint64_t>();
    const bool is_one = is_shared(wish.filter) ? parse_shared(wish.filter).has_value() : valid_filter(wish.filter);
    if (!is_one || !valid_text(wish.filter) || !within_limits(wish.filter)) in.fail();
    change.wishes.push_back(wish);
  }
  if (!in.complete()) return std::nullopt;
  return change;
}

Buffer encode(const std::vector<Settled>& settled) {
  ByteWriter out;
  out.reserve(sizeof(uint32_t) + kSettledBytes * settled.size());
  out.le<uint32_t>(static_cast<uint32_t>(settled.size()));
  for (const Settled& one : settled) {
    out.le<uint64_t>(one.session);
    out.le<uint64_t>(one.epoch);
    out.le<uint64_t>(one.value);
    out.u8(static_cast<uint8_t>(one.kind));
  }
  return taken(out);
}

std::optional<std::vector<Settled>> decode_settled(Bytes payload) {
  ByteReader in(payload);
  const auto count = in.le<uint32_t>();
  if (count > kSettledMax || !in.fits(count, kSettledBytes)) return std::nullopt;
  std::vector<Settled> settled;
  settled.reserve(count);
  for (uint32_t i = 0; i < count; ++i) {
    Settled one;
    one.session = in.le<uint64_t>();
    one.epoch = in.le<uint64_t>();
    one.value = in.le<uint64_t>();
    const uint8_t kind = in.u8();
    if (kind < 1 || kind > static_cast<uint8_t>(Settlement::abandoned)) return std::nullopt;
    one.kind = static_cast<Settlement>(kind);
    settled.push_back(one);
  }
  if (!in.complete()) return std::nullopt;
  return settled;
}

Buffer encode(const std::vector<WalkedBy>& walked) {
  ByteWriter out;
  out.le<uint16_t>(static_cast<uint16_t>(walked.size()));
  for (const WalkedBy& one : walked) {
    out.le<uint64_t>(one.session);
    out.le<uint64_t>(one.epoch);
    put_text(out, one.walked.filter);
    put_text(out, one.walked.after);
    out.u8(one.walked.end ? 1 : 0);
    out.le<uint64_t>(one.walked.walk);
  }
  return taken(out);
}

std::optional<std::vector<WalkedBy>> decode_walked(Bytes payload) {
  ByteReader in(payload);
  const auto count = in.le<uint16_t>();
  if (count == 0 || count > kWalkedMax || !in.fits(count, kWalkedBytes)) return std::nullopt;
  std::vector<WalkedBy> walked;
  for (uint16_t i = 0; i < count && !in.failed(); ++i) {
    WalkedBy& one = walked.emplace_back();
    one.session = in.le<uint64_t>();
    one.epoch = in.le<uint64_t>();
    one.walked.filter = get_text(in);
    one.walked.after = get_text(in);
    one.walked.end = in.u8() != 0;
    one.walked.walk = in.le<uint64_t>();
    if (!within_limits(one.walked.filter) || one.walked.after.size() > kTopicLimitBytes) in.fail();
  }
  if (!in.complete()) return std::nullopt;
  return walked;
}

Buffer encode(const QueueQuery& query) {
  ByteWriter out;
  out.le<uint64_t>(query.session);
  out.le<uint64_t>(query.epoch);
  out.le<uint64_t>(query.from);
  out.le<uint16_t>(query.max);
  return taken(out);
}

std::optional<QueueQuery> decode_queue_query(Bytes payload) {
  ByteReader in(payload);
  QueueQuery query;
  query.session = in.le<uint64_t>();
  query.epoch = in.le<uint64_t>();
  query.from = in.le<uint64_t>();
  query.max = in.le<uint16_t>();
  if (!in.complete()) return std::nullopt;
  return query;
}

void append_item(ByteWriter& out, const QueuePage::Item& item) {
  out.le<uint64_t>(item.number);
  out.le<PartitionId>(item.place.partition);
  out.le<Offset>(item.place.offset);
  out.u8(item.flags);
  out.le<uint16_t>(static_cast<uint16_t>(item.ids.size()));
  for (const uint32_t id : item.ids) out.le<uint32_t>(id);
}

Result<QueuePage> decode_queue_page(Bytes payload) {
  ByteReader in(payload);
  QueuePage page;
  while (in.remaining() >= kItemBytes && !in.failed()) {
    QueuePage::Item item;
    item.number = in.le<uint64_t>();
    item.place.partition = in.le<PartitionId>();
    item.place.offset = in.le<Offset>();
    item.flags = in.u8();
    const auto ids = in.le<uint16_t>();
    for (uint16_t i = 0; i < ids && !in.failed(); ++i) item.ids.push_back(in.le<uint32_t>());
    page.items.push_back(std::move(item));
  }
  if (!in.complete()) return Error{Errc::corrupt, "a page of a session's queue is cut off"};
  return page;
}

Buffer encode(const WillFacts& facts) {
  ByteWriter out;
  put_text(out, facts.owner);
  put_text(out, facts.client);
  put_text(out, facts.topic);
  return Buffer::take(out.release());
}

std::optional<WillFacts> decode_will_facts(Bytes payload) {
  ByteReader in(payload);
  WillFacts facts;
  facts.owner = get_text(in);
  facts.client = get_text(in);
  facts.topic = get_text(in);
  if (!in.complete()) return std::nullopt;
  return facts;
}

Result<std::vector<DueWill>> decode_due_wills(Bytes payload) {
  ByteReader in(payload);
  std::vector<DueWill> wills;
  while (in.remaining() >= kDueWillBytes) {
    DueWill will;
    will.session = in.le<uint64_t>();
    will.epoch = in.le<uint64_t>();
    will.due = in.le<LogTime>();
    wills.push_back(will);
  }
  if (!in.complete()) return Error{Errc::corrupt, "a page of wills is cut off"};
  return wills;
}

}  // namespace heptane::iot
