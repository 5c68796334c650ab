/* What an application in C does with librdkafka: rdkafka_client BROKERS COMMAND ARGUMENTS. One line on stdout for each
 * thing that happened, flushed at once; exit code 0 when the library reported no error, 1 with the reason on stderr.
 *
 *   produce TOPIC COUNT [NAME=VALUE...]      idempotent; prints "N OFFSET" when record N is acknowledged
 *   consume TOPIC PARTITION OFFSET [SEEK]    by assign, to the end; then, with SEEK, once more from there: "OFFSET VALUE"
 *   times TOPIC PARTITION MS...              the first offset at or after each time: "MS OFFSET"
 *   create TOPIC PARTITIONS [NAME=VALUE...]  delete TOPIC   describe TOPIC NAME...  ("NAME VALUE")
 *   commit GROUP TOPIC PARTITION OFFSET      committed GROUP TOPIC PARTITION        ("OFFSET", -1001: none)
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kWaitMs = 60000, kPollMs = 100, kTextBytes = 512 };

static const char* brokers;

static void give_up(const char* what, const char* why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void check(rd_kafka_resp_err_t error, const char* what) {
  if (error) give_up(what, rd_kafka_err2name(error));
}

static void set(rd_kafka_conf_t* conf, const char* name, const char* value) {
  char why[kTextBytes];
  if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) give_up(name, why);
}

/* Splits NAME=VALUE in place. */
static char* value_of(char* option) {
  char* equals = strchr(option, '=');
  if (equals == NULL) give_up(option, "is not NAME=VALUE");
  *equals = '\0';
  return equals + 1;
}

static rd_kafka_conf_t* new_conf(void) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", brokers);
  set(conf, "log_level", "0");
  set(conf, "reconnect.backoff.ms", "10");
  set(conf, "reconnect.backoff.max.ms", "100");
  return conf;
}

static rd_kafka_t* new_client(rd_kafka_type_t type, rd_kafka_conf_t* conf) {
  char why[kTextBytes];
  rd_kafka_t* client = rd_kafka_new(type, conf, why, sizeof why);
  if (client == NULL) give_up("rd_kafka_new", why);
  return client;
}

static rd_kafka_t* new_consumer(const char* group) {
  rd_kafka_conf_t* conf = new_conf();
  set(conf, "group.id", group);
  set(conf, "enable.auto.commit", "false");
  set(conf, "enable.partition.eof", "true");
  set(conf, "auto.offset.reset", "error");
  set(conf, "check.crcs", "true");
  rd_kafka_t* consumer = new_client(RD_KAFKA_CONSUMER, conf);
  rd_kafka_poll_set_consumer(consumer);
  return consumer;
}

static void end_consumer(rd_kafka_t* consumer) {
  rd_kafka_consumer_close(consumer);
  rd_kafka_destroy(consumer);
}

/* ---- produce ---- */

static int refused;

static void on_delivery(rd_kafka_t* client, const rd_kafka_message_t* message, void* opaque) {
  (void)client;
  (void)opaque;
  if (message->err) {
    ++refused;
    fprintf(stderr, "%.*s: %s\n", (int)message->len, (const char*)message->payload, rd_kafka_err2name(message->err));
    return;
  }
  printf("%.*s %lld\n", (int)message->len, (const char*)message->payload, (long long)message->offset);
}

static int produce(int count, char** arguments) {
  if (count < 2) give_up("produce", "TOPIC COUNT [NAME=VALUE...]");
  rd_kafka_conf_t* conf = new_conf();
  set(conf, "enable.idempotence", "true");
  set(conf, "batch.num.messages", "100");
  for (int i = 2; i < count; ++i) set(conf, arguments[i], value_of(arguments[i]));
  rd_kafka_conf_set_dr_msg_cb(conf, &on_delivery);
  rd_kafka_t* producer = new_client(RD_KAFKA_PRODUCER, conf);
  const long records = strtol(arguments[1], NULL, 10);
  for (long n = 0; n < records;) {
    char text[32];
    const int length = snprintf(text, sizeof text, "%ld", n);
    const rd_kafka_resp_err_t error = rd_kafka_producev(
        producer, RD_KAFKA_V_TOPIC(arguments[0]), RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE(text, (size_t)length),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_TIMESTAMP(1000 * (n + 1)), RD_KAFKA_V_END);
    if (error == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
      rd_kafka_poll(producer, kPollMs);
      continue;
    }
    check(error, "producev");
    rd_kafka_poll(producer, 0);
    ++n;
  }
  check(rd_kafka_flush(producer, kWaitMs), "flush");
  char why[kTextBytes];
  if (rd_kafka_fatal_error(producer, why, sizeof why)) give_up("fatal", why);
  rd_kafka_destroy(producer);
  return refused > 0;
}

/* ---- consume ---- */

/* Prints to the end of the partition. */
static void read_to_end(rd_kafka_t* consumer) {
  for (;;) {
    rd_kafka_message_t* message = rd_kafka_consumer_poll(consumer, kWaitMs);
    if (message == NULL) give_up("consume", "nothing came, not even the end");
    const rd_kafka_resp_err_t error = message->err;
    if (!error) printf("%lld %.*s\n", (long long)message->offset, (int)message->len, (const char*)message->payload);
    rd_kafka_message_destroy(message);
    if (error == RD_KAFKA_RESP_ERR__PARTITION_EOF) return;
    if (error != RD_KAFKA_RESP_ERR__TRANSPORT && error != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) check(error, "consume");
  }
}

static int consume(int count, char** arguments) {
  if (count < 3) give_up("consume", "TOPIC PARTITION OFFSET [SEEK]");
  rd_kafka_t* consumer = new_consumer("rdkafka_client");
  rd_kafka_topic_partition_list_t* wanted = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_t* part = rd_kafka_topic_partition_list_add(wanted, arguments[0], atoi(arguments[1]));
  part->offset = strtoll(arguments[2], NULL, 10);
  check(rd_kafka_assign(consumer, wanted), "assign");
  read_to_end(consumer);
  if (count > 3) {
    part->offset = strtoll(arguments[3], NULL, 10);
    rd_kafka_error_t* error = rd_kafka_seek_partitions(consumer, wanted, kWaitMs);
    if (error != NULL) give_up("seek", rd_kafka_error_string(error));
    check(part->err, "seek");
    read_to_end(consumer);
  }
  rd_kafka_topic_partition_list_destroy(wanted);
  end_consumer(consumer);
  return 0;
}

static int times(int count, char** arguments) {
  if (count < 3) give_up("times", "TOPIC PARTITION MS...");
  rd_kafka_t* consumer = new_consumer("rdkafka_client");
  for (int i = 2; i < count; ++i) {
    rd_kafka_topic_partition_list_t* wanted = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(wanted, arguments[0], atoi(arguments[1]))->offset =
        strtoll(arguments[i], NULL, 10);
    check(rd_kafka_offsets_for_times(consumer, wanted, kWaitMs), "offsets_for_times");
    check(wanted->elems[0].err, "offsets_for_times");
    printf("%s %lld\n", arguments[i], (long long)wanted->elems[0].offset);
    rd_kafka_topic_partition_list_destroy(wanted);
  }
  end_consumer(consumer);
  return 0;
}

/* ---- offsets of groups ---- */

static int commit(int count, char** arguments) {
  if (count < 4) give_up("commit", "GROUP TOPIC PARTITION OFFSET");
  rd_kafka_t* consumer = new_consumer(arguments[0]);
  rd_kafka_topic_partition_list_t* wanted = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_t* part = rd_kafka_topic_partition_list_add(wanted, arguments[1], atoi(arguments[2]));
  part->offset = strtoll(arguments[3], NULL, 10);
  check(rd_kafka_assign(consumer, wanted), "assign");
  check(rd_kafka_commit(consumer, wanted, 0), "commit");
  check(part->err, "commit");
  rd_kafka_topic_partition_list_destroy(wanted);
  end_consumer(consumer);
  return 0;
}

static int committed(int count, char** arguments) {
  if (count < 3) give_up("committed", "GROUP TOPIC PARTITION");
  rd_kafka_t* consumer = new_consumer(arguments[0]);
  rd_kafka_topic_partition_list_t* wanted = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(wanted, arguments[1], atoi(arguments[2]));
  check(rd_kafka_committed(consumer, wanted, kWaitMs), "committed");
  check(wanted->elems[0].err, "committed");
  printf("%lld\n", (long long)wanted->elems[0].offset);
  rd_kafka_topic_partition_list_destroy(wanted);
  end_consumer(consumer);
  return 0;
}

/* ---- administration ---- */

typedef struct {
  rd_kafka_t* client;
  rd_kafka_queue_t* queue;
  rd_kafka_event_t* event;
} Admin;

static Admin begin_admin(void) {
  Admin admin = {new_client(RD_KAFKA_PRODUCER, new_conf()), NULL, NULL};
  admin.queue = rd_kafka_queue_new(admin.client);
  return admin;
}

static void wait_for(Admin* admin, const char* what) {
  admin->event = rd_kafka_queue_poll(admin->queue, kWaitMs);
  if (admin->event == NULL) give_up(what, "no answer");
  check(rd_kafka_event_error(admin->event), what);
}

static void end_admin(Admin* admin) {
  rd_kafka_event_destroy(admin->event);
  rd_kafka_queue_destroy(admin->queue);
  rd_kafka_destroy(admin->client);
}

static void check_topics(const rd_kafka_topic_result_t** results, size_t count, const char* what) {
  for (size_t i = 0; i < count; ++i) check(rd_kafka_topic_result_error(results[i]), what);
}

static int create(int count, char** arguments) {
  if (count < 2) give_up("create", "TOPIC PARTITIONS [NAME=VALUE...]");
  char why[kTextBytes];
  rd_kafka_NewTopic_t* topic = rd_kafka_NewTopic_new(arguments[0], atoi(arguments[1]), 1, why, sizeof why);
  if (topic == NULL) give_up("create", why);
  for (int i = 2; i < count; ++i) {
    const char* value = value_of(arguments[i]);
    check(rd_kafka_NewTopic_set_config(topic, arguments[i], value), "create");
  }
  Admin admin = begin_admin();
  rd_kafka_CreateTopics(admin.client, &topic, 1, NULL, admin.queue);
  wait_for(&admin, "create");
  size_t results = 0;
  const rd_kafka_topic_result_t** each =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(admin.event), &results);
  check_topics(each, results, "create");
  end_admin(&admin);
  rd_kafka_NewTopic_destroy(topic);
  return 0;
}

static int delete_topic(int count, char** arguments) {
  if (count < 1) give_up("delete", "TOPIC");
  rd_kafka_DeleteTopic_t* topic = rd_kafka_DeleteTopic_new(arguments[0]);
  Admin admin = begin_admin();
  rd_kafka_DeleteTopics(admin.client, &topic, 1, NULL, admin.queue);
  wait_for(&admin, "delete");
  size_t results = 0;
  const rd_kafka_topic_result_t** each =
      rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(admin.event), &results);
  check_topics(each, results, "delete");
  end_admin(&admin);
  rd_kafka_DeleteTopic_destroy(topic);
  return 0;
}

static void print_entries(const rd_kafka_ConfigResource_t* resource, int count, char** names) {
  size_t entries = 0;
  const rd_kafka_ConfigEntry_t** each = rd_kafka_ConfigResource_configs(resource, &entries);
  for (size_t i = 0; i < entries; ++i)
    for (int k = 0; k < count; ++k)
      if (strcmp(rd_kafka_ConfigEntry_name(each[i]), names[k]) == 0)
        printf("%s %s\n", names[k], rd_kafka_ConfigEntry_value(each[i]));
}

static int describe(int count, char** arguments) {
  if (count < 2) give_up("describe", "TOPIC NAME...");
  rd_kafka_ConfigResource_t* wanted = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, arguments[0]);
  Admin admin = begin_admin();
  rd_kafka_DescribeConfigs(admin.client, &wanted, 1, NULL, admin.queue);
  wait_for(&admin, "describe");
  size_t results = 0;
  const rd_kafka_ConfigResource_t** each =
      rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(admin.event), &results);
  for (size_t i = 0; i < results; ++i) {
    check(rd_kafka_ConfigResource_error(each[i]), "describe");
    print_entries(each[i], count - 1, arguments + 1);
  }
  end_admin(&admin);
  rd_kafka_ConfigResource_destroy(wanted);
  return 0;
}

static const struct {
  const char* name;
  int (*run)(int count, char** arguments);
} kCommands[] = {
    {"produce", produce},     {"consume", consume},   {"times", times},   {"create", create},
    {"delete", delete_topic}, {"describe", describe}, {"commit", commit}, {"committed", committed},
};

int main(int count, char** arguments) {
  if (count < 3) give_up("rdkafka_client", "BROKERS COMMAND ARGUMENTS");
  setvbuf(stdout, NULL, _IOLBF, 0);
  brokers = arguments[1];
  for (size_t i = 0; i < sizeof kCommands / sizeof kCommands[0]; ++i)
    if (strcmp(kCommands[i].name, arguments[2]) == 0) return kCommands[i].run(count - 3, arguments + 3);
  give_up(arguments[2], "is no command");
}
