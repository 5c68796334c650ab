#include "modules/iot/machine/jobs/job_api.h"

#include "modules/iot/domain/devices/thing.h"
#include "modules/iot/machine/api.h"

namespace heptane::iot::devices {

namespace {

constexpr std::string_view kStates[kJobStates] = {"IN_PROGRESS", "CANCELED", "COMPLETED", "DELETION_IN_PROGRESS"};

struct Note {
  std::string_view topic;
  std::string payload;
};

// Reads what JobNotes wrote, note by note.
class NotesReader {
 public:
  explicit NotesReader(Bytes notes) : in_(notes), document_(take_text()) {}
  bool more() const { return in_.remaining() > 0 && !in_.failed(); }
  std::string_view next_topic() {
    const std::string_view topic = take_text();
    take_text();
    if (in_.u8() != 0) take_text();
    return topic;
  }
  Note next() {
    Note note;
    note.topic = take_text();
    note.payload = take_text();
    if (in_.u8() == 0) return note;
    note.payload += document_;
    note.payload += take_text();
    return note;
  }

 private:
  std::string_view take_text() { return as_text(in_.take(in_.le<uint32_t>())); }
  ByteReader in_;
  std::string_view document_;
};

void append_long(ByteWriter& out, std::string_view text) {
  out.le<uint32_t>(static_cast<uint32_t>(text.size()));
  out.append(text);
}

}  // namespace

std::string_view state_text(JobState state) { return kStates[static_cast<size_t>(state)]; }

Buffer encode(const JobPlace& place) {
  ByteWriter out;
  out.le<PartitionId>(place.partition);
  out.le<Offset>(place.next);
  return Buffer::take(out.release());
}

std::optional<JobPlace> decode_job_place(Bytes payload) {
  ByteReader in(payload);
  JobPlace place;
  place.partition = in.le<PartitionId>();
  place.next = in.le<Offset>();
  if (!in.complete()) return std::nullopt;
  return place;
}

Buffer encode(const JobPlan& plan) {
  ByteWriter out;
  append_plan(out, plan);
  return Buffer::take(out.release());
}

std::optional<JobPlan> decode_job_plan(Bytes payload) {
  ByteReader in(payload);
  JobPlan plan = read_plan(in);
  if (!in.complete() || !wrong_plan(plan).empty()) return std::nullopt;
  return plan;
}

Buffer encode(const CancelJob& cancel) {
  ByteWriter out;
  append_text(out, cancel.id);
  append_text(out, cancel.reason);
  out.u8(cancel.force ? 1 : 0);
  return Buffer::take(out.release());
}

std::optional<CancelJob> decode_cancel_job(Bytes payload) {
  ByteReader in(payload);
  CancelJob cancel;
  cancel.id = read_text(in, kJobIdBytesMax);
  cancel.reason = read_text(in, kDescriptionBytesMax);
  cancel.force = in.u8() != 0;
  if (!in.complete()) return std::nullopt;
  return cancel;
}

Buffer encode_delete_job(std::string_view id, bool force) {
  ByteWriter out;
  out.u8(force ? 1 : 0);
  out.append(id);
  return Buffer::take(out.release());
}

Buffer encode(const JobRequest& request) {
  ByteWriter out;
  append_request(out, request);
  return Buffer::take(out.release());
}

std::optional<JobRequest> decode_job_request(Bytes payload) {
  ByteReader in(payload);
  JobRequest request = read_job_request(in);
  if (!in.complete()) return std::nullopt;
  return request;
}

void append_row(ByteWriter& out, const JobRow& row, bool with_document) {
  append_plan(out, row.plan, with_document);
  out.u8(static_cast<uint8_t>(row.state));
  out.u8(row.forced ? 1 : 0);
  out.u8(row.found ? 1 : 0);
  out.u8(row.stage);
  append_text(out, row.reason);
  out.le<LogTime>(row.created);
  out.le<LogTime>(row.updated);
  out.le<LogTime>(row.ended);
  for (const uint64_t count : row.counts) out.le<uint64_t>(count);
}

JobRow read_job_row(ByteReader& in) {
  JobRow row;
  row.plan = read_plan(in);
  const uint8_t state = in.u8();
  if (state >= kJobStates) in.fail();
  row.state = static_cast<JobState>(state % kJobStates);
  row.forced = in.u8() != 0;
  row.found = in.u8() != 0;
  row.stage = in.u8();
  row.reason = read_text(in, kDescriptionBytesMax);
  row.created = in.le<LogTime>();
  row.updated = in.le<LogTime>();
  row.ended = in.le<LogTime>();
  for (uint64_t& count : row.counts) count = in.le<uint64_t>();
  return row;
}

Buffer encode(const JobsPageQuery& query) {
  ByteWriter out;
  append_text(out, query.job);
  append_text(out, query.after);
  out.le<uint16_t>(query.limit);
  out.u8(query.status ? 1 : 0);
  out.u8(query.status.value_or(0));
  return Buffer::take(out.release());
}

std::optional<JobsPageQuery> decode_jobs_page_query(Bytes payload) {
  ByteReader in(payload);
  JobsPageQuery query;
  query.job = read_text(in, kJobIdBytesMax);
  query.after = read_text(in, kNameLimitBytes);
  query.limit = in.le<uint16_t>();
  const bool has_status = in.u8() != 0;
  const uint8_t status = in.u8();
  if (has_status) query.status = status;
  if (!in.complete()) return std::nullopt;
  return query;
}

std::optional<JobsPage> decode_jobs_page(Bytes payload) {
  ByteReader in(payload);
  JobsPage page;
  page.last = read_text(in, kJobIdBytesMax);
  while (in.remaining() > 0 && !in.failed()) page.rows.push_back(read_job_row(in));
  if (in.failed()) return std::nullopt;
  return page;
}

void append_row(ByteWriter& out, const ExecutionRow& row) {
  append_text(out, row.thing);
  append_execution(out, row.execution);
}

std::optional<ExecutionsPage> decode_executions_page(Bytes payload) {
  ByteReader in(payload);
  ExecutionsPage page;
  page.last = read_text(in, kNameLimitBytes);
  while (in.remaining() > 0 && !in.failed()) {
    ExecutionRow row;
    row.thing = read_text(in, kNameLimitBytes);
    row.execution = read_execution(in);
    page.rows.push_back(std::move(row));
  }
  if (in.failed()) return std::nullopt;
  return page;
}

void JobNotes::add(std::string_view topic, std::string_view head, bool document, std::string_view tail) {
  append_long(items_, topic);
  append_long(items_, head);
  items_.u8(document ? 1 : 0);
  if (document) append_long(items_, tail);
  ++count_;
}

void JobNotes::add_with_document(std::string_view topic, const ExecutionParts& parts, std::string_view before,
                                 std::string_view behind) {
  std::string head(before);
  head += parts.head;
  std::string tail = parts.tail;
  tail += behind;
  add(topic, head, true, tail);
}

Buffer JobNotes::finish() const {
  ByteWriter out;
  append_long(out, document_);
  out.append(items_.view());
  return Buffer::take(out.release());
}

Buffer announcement_of(Bytes notes) {
  NotesReader reader(notes);
  ByteWriter out;
  while (reader.more()) {
    MessageView message;
    message.qos = 1;
    message.topic = reader.next_topic();
    append_message(out, message);
  }
  return Buffer::take(out.release());
}

// Headers as messages of clients have them (machine/view_render.cc), so that they are read the same way; from no client.
void render_jobs(const LoggedCommand& logged, uint16_t number, RecordWriter& out) {
  if (number != kJobsView.number || logged.results.empty()) return;
  static constexpr std::string_view kQos = "1";
  const ViewHeader headers[] = {{"mqtt.qos", as_bytes(kQos)}, {"mqtt.client", {}}};
  NotesReader reader(logged.results.front());
  while (reader.more() && !out.full()) {
    const Note note = reader.next();
    if (out.wants())
      out.add({as_bytes(note.topic), true, as_bytes(note.payload), headers});
    else
      out.skip();
  }
}

}  // namespace heptane::iot::devices
